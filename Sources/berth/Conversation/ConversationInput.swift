// What a line of a conversation means.

enum ConversationInput: Equatable {
    case nothing
    case message(String)
    case help
    case clear
    case exit
    /// Nil: which one is it?
    case model(String?)
    /// A command that there is not.
    case unknown(String)

    /// Commands start with a slash. A message that does is written with a space before it.
    init(_ line: String) {
        guard line.hasPrefix("/") else {
            self = line.allSatisfy(\.isWhitespace) ? .nothing : .message(line.hasPrefix(" /") ? String(line.dropFirst()) : line)
            return
        }
        let words = line.split(maxSplits: 1, whereSeparator: \.isWhitespace)
        let rest = words.count > 1 ? words[1].drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed() : []
        switch (String(words[0]), rest.isEmpty) {
        case ("/help", true), ("/?", true): self = .help
        case ("/clear", true): self = .clear
        case ("/exit", true), ("/quit", true), ("/bye", true): self = .exit
        case ("/model", _): self = .model(rest.isEmpty ? nil : String(rest))
        default: self = .unknown(String(words[0].prefix(40)))
        }
    }

    static let commands = """
        /model NAME  ask another model from here on; /model alone says which one it is
        /clear       forget what was said
        /exit        end, as Ctrl-D does
        /help        this

        Ctrl-C stops an answer or drops the line. Up and down bring back earlier lines; a pasted text is one message, however
        many lines it has. Put a space before a message that starts with a slash.

        """
}
