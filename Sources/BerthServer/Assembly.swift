// The real parts behind the server's protocols: checkpoint, tokenizer, model, pool and engine.

public let assembleModel: Assemble = { _, _ in throw ConfigurationError("this build has no model") }
