// The bodies of the smaller routes: tokenisation, and the administrator's.

import BerthCore

/// `POST /tokenize`: text or a conversation to token ids.
public struct TokenizeCall: Sendable, Equatable {
    public enum Input: Sendable, Equatable {
        case text(String)
        case chat(ChatInput)
    }

    public var model: String?
    public var input: Input
    /// A text gets them by default; a conversation does not, since its template writes them.
    public var addsSpecialTokens: Bool

    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        model = try reader.string("model")
        let adds = try reader.bool("add_special_tokens")
        if reader.value("messages") != nil {
            input = .chat(try reader.chatInput())
            addsSpecialTokens = adds ?? false
        } else {
            let prompt = try reader.required("prompt")
            guard let text = prompt.string else { throw .wrongType("prompt", "a string", prompt) }
            input = .text(text)
            addsSpecialTokens = adds ?? true
        }
    }

    /// `{"tokens": […], "count": n, "max_model_len": n}`
    public static func answer(tokens: [Int32], contextLength: Int) -> JSON {
        ["tokens": .array(tokens.map { JSON(Int($0)) }), "count": JSON(tokens.count), "max_model_len": JSON(contextLength)]
    }
}

/// `POST /detokenize`: token ids to text.
public struct DetokenizeCall: Sendable, Equatable {
    public var model: String?
    public var tokens: [Int32]

    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        model = try reader.string("model")
        let value = try reader.required("tokens")
        guard let elements = value.array else { throw .wrongType("tokens", "an array of token ids", value) }
        tokens = try FieldReader.tokens(elements, "tokens")
    }

    public static func answer(text: String) -> JSON { ["prompt": .string(text)] }
}

/// `POST /v1/load_lora_adapter`
public struct LoadAdapterCall: Sendable, Equatable {
    public var name: AdapterName
    /// A directory of this machine. Only the admin socket takes paths.
    public var path: String
    public var pinned: Bool
    /// The tenants that may use it, or "*" for all; nil leaves that as it is.
    public var tenants: [String]?

    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        name = try reader.adapterName("lora_name")
        tenants = try reader.tenants()
        let value = try reader.required("lora_path")
        guard let text = value.string, text.hasPrefix("/"), !text.utf8.contains(0) else { throw .invalid("lora_path", "must be an absolute path.") }
        path = text
        pinned = try reader.bool("pinned") ?? false
    }
}

/// `POST /v1/unload_lora_adapter`
public struct UnloadAdapterCall: Sendable, Equatable {
    public var name: AdapterName

    public init(body: [UInt8]) throws(APIError) { name = try FieldReader(body: body).adapterName("lora_name") }
}

/// `POST /adapters/{name}/pin`; without a body it pins.
public struct PinAdapterCall: Sendable, Equatable {
    public var pinned: Bool

    public init(body: [UInt8]) throws(APIError) { pinned = body.isEmpty ? true : try FieldReader(body: body).bool("pinned") ?? true }
}

/// `POST /memory`
public struct SetMemoryCall: Sendable, Equatable {
    public var size: ByteSize

    public init(body: [UInt8]) throws(APIError) {
        let value = try FieldReader(body: body).required("size")
        guard let size = value.int.map({ ByteSize(bytes: $0) }) ?? value.string.flatMap({ ByteSize($0) }), size.bytes > 0 else {
            throw .invalid("size", "must be a size such as \"8G\", or a number of bytes.")
        }
        self.size = size
    }
}

extension FieldReader {
    fileprivate func tenants() throws(APIError) -> [String]? {
        guard let elements = try array("tenants") else { return nil }
        guard elements.count <= Limits.tenantListEntries else { throw .invalid("tenants", "has more than \(Limits.tenantListEntries) entries.") }
        var tenants: [String] = []
        for element in elements {
            guard let text = element.string, text == "*" || TenantName(text) != nil else { throw .invalid("tenants", "must be a list of tenants' names, or [\"*\"].") }
            tenants.append(text)
        }
        return tenants
    }

    fileprivate func adapterName(_ key: String) throws(APIError) -> AdapterName {
        let value = try required(key)
        guard let text = value.string, let name = AdapterName(text) else {
            throw .invalid(key, "must be 1 to \(Limits.adapterNameBytes) letters, digits, '.', '_', '-' or ':', in parts between slashes, none of which is empty or starts with '.' or '-'.")
        }
        return name
    }
}
