// Answers about models.

import BerthCore

/// The base model or an adapter, as `/v1/models` shows it. Never with a path.
public struct ModelCard: Sendable, Equatable {
    public var id: String
    /// Seconds since 1970.
    public var created: Int
    /// The base model's name, for an adapter.
    public var parent: String?
    public var contextLength: Int

    public init(id: String, created: Int, parent: String?, contextLength: Int) {
        self.id = id
        self.created = created
        self.parent = parent
        self.contextLength = contextLength
    }

    public var json: JSON {
        [
            "id": .string(id), "object": "model", "created": JSON(created), "owned_by": "berth", "root": .string(parent ?? id),
            "parent": parent.map(JSON.string) ?? nil, "max_model_len": JSON(contextLength),
        ]
    }

    public static func list(_ cards: [ModelCard]) -> JSON { ["object": "list", "data": .array(cards.map(\.json))] }
}
