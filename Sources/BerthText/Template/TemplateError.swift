// What can go wrong with a chat template, and where in its source.
//
// The kinds have different addressees: `missing` and `syntax` are the checkpoint's fault and appear when it is loaded,
// `raised` is the template's own refusal of a conversation (`raise_exception`) and goes to the client as it is, `dropped` is
// our refusal of what the template would leave out, `evaluation` is a template that met a value it cannot handle, `limit`
// is work that was cut short.

/// Why a chat template could not be compiled or rendered.
public struct TemplateError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// There is no template for this conversation.
        case missing
        /// The source is no template that can be run.
        case syntax
        /// The template called `raise_exception`; `message` is its argument, unchanged.
        case raised
        /// The template would leave out a part of the conversation, which `field` names.
        case dropped
        /// An operation on values it is not defined for.
        case evaluation
        /// A bound of `Limits` was reached.
        case limit
    }

    public let code: Code
    /// One sentence without a full stop; for `raised` the template's own words.
    public let message: String
    /// What was left out: `messages[2]`, `tools`.
    public internal(set) var field: String?
    /// The line in the template's source, from 1; 0 where none is known.
    public internal(set) var line: Int
    /// The column in bytes, from 1; 0 where none is known.
    public internal(set) var column: Int

    init(_ code: Code, _ message: String, at position: Jinja.Position = .unknown) {
        self.code = code
        self.message = message
        line = Int(position.line)
        column = Int(position.column)
    }

    static func dropped(_ field: String, _ message: String) -> Self {
        var error = Self(.dropped, message)
        error.field = field
        return error
    }

    static func syntax(_ message: String, at position: Jinja.Position) -> Self { Self(.syntax, message, at: position) }
    static func evaluation(_ message: String) -> Self { Self(.evaluation, message) }
    static func limit(_ message: String) -> Self { Self(.limit, message) }

    public var description: String {
        if code == .raised || code == .missing { return message }
        if let field { return "'\(field)' \(message)" }
        return line > 0 ? "chat template, line \(line), column \(column): \(message)" : "chat template: \(message)"
    }
}

/// The language of chat templates: the part of Jinja2 that checkpoints use, with Python's values underneath.
enum Jinja {
    /// A place in a template's source, counted from 1.
    struct Position: Equatable, Sendable {
        var line: Int32
        var column: Int32
        static let unknown = Position(line: 0, column: 0)
    }
}
