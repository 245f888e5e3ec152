// What the daemon answers when it refuses: an HTTP status and OpenAI's error object, which every client already reads.

import BerthCore
import HTTPTypes

public struct APIError: Error, Sendable, Equatable {
    public var status: HTTPResponse.Status
    /// A sentence for whoever wrote the request. Names no path of this machine.
    public var message: String
    /// OpenAI's class of the error.
    public var type: String
    /// The field of the request at fault.
    public var parameter: String?
    /// A stable name that programs may compare.
    public var code: String?
    /// Seconds after which a retry makes sense; sent as Retry-After.
    public var retryAfterSeconds: Int?
    /// The caller's limit that is reached, by its name in the configuration; sent as X-Berth-Limit.
    public var limit: String?

    public init(
        _ status: HTTPResponse.Status, _ message: String, type: String = "invalid_request_error", parameter: String? = nil, code: String? = nil,
        retryAfterSeconds: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.parameter = parameter
        self.code = code
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// `{"error": {"message", "type", "param", "code"}}`
    public var body: JSON {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": parameter.map(JSON.string) ?? nil, "code": code.map(JSON.string) ?? nil,
            ]
        ]
    }

    // MARK: the usual ones

    /// 400: a field with a wrong type or value.
    public static func invalid(_ parameter: String, _ problem: String, code: String? = nil) -> APIError {
        APIError(.badRequest, "'\(parameter)' \(problem)", parameter: parameter, code: code)
    }

    /// 415: a body that is compressed or encoded in another way.
    public static func unsupportedEncoding(_ encoding: String) -> APIError {
        APIError(
            .unsupportedMediaType, "A body with Content-Encoding '\(encoding.shortened)' is not supported: send it as it is.", code: "unsupported_content_encoding")
    }

    /// 404.
    public static func unknownModel(_ name: String) -> APIError {
        APIError(.notFound, "The model '\(name.shortened)' does not exist; /v1/models lists those that do.", parameter: "model", code: "model_not_found")
    }

    /// 400: prompt and output together exceed the context.
    public static func contextExceeded(contextLength: Int, promptTokens: Int, maxTokens: Int) -> APIError {
        APIError(
            .badRequest,
            "This model's maximum context length is \(contextLength) tokens, but the request needs \(promptTokens) for the prompt and \(maxTokens) for the output.",
            parameter: promptTokens >= contextLength ? "prompt" : "max_tokens", code: "context_length_exceeded")
    }

    /// 503: nothing is wrong with the request.
    public static func unavailable(_ message: String, code: String, retryAfterSeconds: Int = 1) -> APIError {
        APIError(.serviceUnavailable, message, type: "server_error", code: code, retryAfterSeconds: retryAfterSeconds)
    }

    public static func internalError(_ message: String) -> APIError { APIError(.internalServerError, message, type: "server_error", code: "internal_error") }
}

extension HTTPError {
    /// The same error as a response body says it.
    public var apiError: APIError { APIError(status, message, code: code == .bodyTooLarge ? "body_too_large" : nil) }
}

extension String {
    /// Text of a client inside an error message: not longer than a line.
    var shortened: String { utf8.count <= 200 ? self : String(prefix(100)) + "…" }
}
