// From a template's source to tokens.
//
// The rules for white space are Jinja's with trim_blocks and lstrip_blocks, as transformers sets them: the newline after
// a block or comment tag goes, so do the blanks between the start of a line and such a tag; `-` at a tag's edge strips
// everything, `+` keeps everything; one newline at the very end of the source is dropped. Lexing ends before parsing
// begins, so a token carries its position and the parser needs no source.

extension Jinja {
    struct Token: Sendable {
        enum Kind: Equatable, Sendable {
            case data(Text)
            case blockBegin, blockEnd, variableBegin, variableEnd
            case name(String)
            case string(Text)
            case integer(Int)
            case float(Double)
            case symbol(Symbol)
            case end
        }

        var kind: Kind
        var position: Position
    }

    enum Symbol: String, Sendable {
        case add = "+", subtract = "-", divide = "/", floorDivide = "//", multiply = "*", modulo = "%", power = "**", tilde = "~"
        case leftBracket = "[", rightBracket = "]", leftParen = "(", rightParen = ")", leftBrace = "{", rightBrace = "}"
        case equal = "==", notEqual = "!=", greater = ">", greaterEqual = ">=", less = "<", lessEqual = "<="
        case assign = "=", dot = ".", colon = ":", pipe = "|", comma = ",", semicolon = ";"
    }

    struct Lexer {
        let source: [UInt8]
        var at = 0
        var tokens: [Token] = []
        /// How far lines have been counted, and what the count is there.
        private var counted = 0
        private var line: Int32 = 1
        private var lineStart = 0

        init(_ text: String) {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.utf8.count)
            var afterReturn = false
            for byte in text.utf8 {
                if !(afterReturn && byte == 0x0A) { bytes.append(byte == 0x0D ? 0x0A : byte) }
                afterReturn = byte == 0x0D
            }
            if bytes.last == 0x0A { bytes.removeLast() }
            source = bytes
        }

        /// The tokens of the whole source, closed by `.end`.
        static func tokens(of text: String) throws(TemplateError) -> [Token] {
            var lexer = Lexer(text)
            while lexer.at < lexer.source.count { try lexer.root() }
            lexer.append(.end, at: lexer.source.count)
            return lexer.tokens
        }

        // MARK: positions and peeking

        mutating func position(of offset: Int) -> Position {
            if offset < counted { (counted, line, lineStart) = (0, 1, 0) }
            while counted < offset {
                if source[counted] == 0x0A {
                    line += 1
                    lineStart = counted + 1
                }
                counted += 1
            }
            return Position(line: line, column: Int32(max(0, offset - lineStart)) + 1)
        }

        mutating func append(_ kind: Token.Kind, at offset: Int) { tokens.append(Token(kind: kind, position: position(of: offset))) }

        func has(_ text: StaticString, at offset: Int) -> Bool {
            let size = text.utf8CodeUnitCount
            guard offset + size <= source.count else { return false }
            for index in 0..<size where source[offset + index] != text.utf8Start[index] { return false }
            return true
        }

        func skippingSpace(from offset: Int) -> Int {
            var offset = offset
            while offset < source.count {
                if source[offset] < 0x80 {
                    guard Unicode.Scalar(source[offset]).isPythonSpace else { break }
                    offset += 1
                    continue
                }
                let text = Text(bytes: source[offset..<min(offset + 4, source.count)])
                guard text.scalar(at: 0).isPythonSpace else { break }
                offset += text.offset(after: 0)
            }
            return offset
        }

        // MARK: text between tags

        private enum Tag { case block, variable, comment }

        /// One stretch of text and the tag behind it.
        private mutating func root() throws(TemplateError) {
            let start = at
            var open = at
            var tag: Tag?
            while open + 1 < source.count, tag == nil {
                if source[open] == UInt8(ascii: "{") {
                    switch source[open + 1] {
                    case UInt8(ascii: "%"): tag = .block
                    case UInt8(ascii: "{"): tag = .variable
                    case UInt8(ascii: "#"): tag = .comment
                    default: break
                    }
                }
                if tag == nil { open += 1 }
            }
            guard let tag else {
                append(.data(Text(bytes: source[start...])), at: start)
                at = source.count
                return
            }
            appendData(start..<open, sign: sign(at: open + 2), strips: tag != .variable)
            at = open + 2
            if sign(at: at) != nil { at += 1 }
            switch tag {
            case .comment: try comment(from: open)
            case .variable:
                append(.variableBegin, at: open)
                try lexTag(closing: "}}", as: .variableEnd, from: open)
            case .block:
                if let body = rawBody() {
                    try raw(from: body)
                } else {
                    append(.blockBegin, at: open)
                    try lexTag(closing: "%}", as: .blockEnd, from: open)
                }
            }
        }

        private func sign(at offset: Int) -> UInt8? {
            guard offset < source.count, source[offset] == UInt8(ascii: "-") || source[offset] == UInt8(ascii: "+") else { return nil }
            return source[offset]
        }

        /// Appends text that stands before a tag, without the white space which the tag takes away.
        private mutating func appendData(_ range: Range<Int>, sign: UInt8?, strips: Bool) {
            var text = Text(bytes: source[range])
            if sign == UInt8(ascii: "-") {
                text = text.stripped(.right)
            } else if sign == nil, strips {
                let lineStart = text.bytes.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
                let startsLine = range.lowerBound == 0 || source[range.lowerBound - 1] == 0x0A
                if lineStart > 0 || startsLine, Text(bytes: text.bytes[lineStart...]).all(\.isPythonSpace) {
                    text.bytes.removeSubrange(lineStart...)
                }
            }
            if !text.isEmpty { append(.data(text), at: range.lowerBound) }
        }

        private mutating func comment(from open: Int) throws(TemplateError) {
            // Jinja forgives an opening with nothing at all behind it, here and in `raw`.
            if at == source.count { return }
            while at < source.count {
                if let end = closing("#}", trims: true) {
                    at = end
                    return
                }
                at += 1
            }
            throw .syntax("a comment without its end", at: position(of: open))
        }

        /// The end of a closing tag that stands here, with the white space it takes; nil where none does.
        private func closing(_ tag: StaticString, trims: Bool, at offset: Int? = nil) -> Int? {
            let at = offset ?? self.at
            if trims, has("+", at: at), has(tag, at: at + 1) { return at + 3 }
            if has("-", at: at), has(tag, at: at + 1) { return skippingSpace(from: at + 3) }
            guard has(tag, at: at) else { return nil }
            return trims && has("\n", at: at + 2) ? at + 3 : at + 2
        }

        // MARK: raw blocks

        /// Where the body of a raw block begins if the block tag here opens one.
        private func rawBody() -> Int? {
            var offset = skippingSpace(from: at)
            guard has("raw", at: offset) else { return nil }
            offset = skippingSpace(from: offset + 3)
            if has("-%}", at: offset) { return skippingSpace(from: offset + 3) }
            return has("%}", at: offset) ? offset + 2 : nil
        }

        private mutating func raw(from body: Int) throws(TemplateError) {
            var open = body
            while open < source.count {
                if has("{%", at: open) {
                    let sign = sign(at: open + 2)
                    var offset = skippingSpace(from: open + (sign == nil ? 2 : 3))
                    if has("endraw", at: offset) {
                        offset = skippingSpace(from: offset + 6)
                        if let end = closing("%}", trims: true, at: offset) {
                            appendData(body..<open, sign: sign, strips: true)
                            at = end
                            return
                        }
                    }
                }
                open += 1
            }
            guard body == source.count else { throw .syntax("a raw block without its end", at: position(of: body)) }
            at = body
        }

        // MARK: inside a tag

        private mutating func lexTag(closing tag: StaticString, as end: Token.Kind, from open: Int) throws(TemplateError) {
            var brackets: [UInt8] = []
            while true {
                at = skippingSpace(from: at)
                if brackets.isEmpty, let after = closing(tag, trims: end == .blockEnd) {
                    append(end, at: at)
                    at = after
                    return
                }
                guard at < source.count else { throw .syntax("a tag without its end", at: position(of: open)) }
                try token(&brackets)
            }
        }

        private mutating func token(_ brackets: inout [UInt8]) throws(TemplateError) {
            let start = at
            let byte = source[at]
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): try append(number(), at: start)
            case UInt8(ascii: "'"), UInt8(ascii: "\""): append(.string(try string()), at: start)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), 0x80...0xFF:
                while at < source.count, isNameByte(source[at]) { at += 1 }
                let name = String(decoding: source[start..<at], as: UTF8.self)
                guard name.unicodeScalars.allSatisfy({ $0 == "_" || $0.properties.isXIDContinue }) else {
                    throw .syntax("an unexpected character in '\(name)'", at: position(of: start))
                }
                append(.name(name), at: start)
            default:
                var symbol: Symbol?
                for size in [2, 1] where symbol == nil && at + size <= source.count {
                    symbol = Symbol(rawValue: String(decoding: source[at..<at + size], as: UTF8.self))
                }
                guard let symbol else {
                    throw .syntax("unexpected character '\(Unicode.Scalar(byte))'", at: position(of: start))
                }
                switch symbol {
                case .leftParen: brackets.append(UInt8(ascii: ")"))
                case .leftBracket: brackets.append(UInt8(ascii: "]"))
                case .leftBrace: brackets.append(UInt8(ascii: "}"))
                case .rightParen, .rightBracket, .rightBrace:
                    guard brackets.popLast() == byte else { throw .syntax("unexpected '\(symbol.rawValue)'", at: position(of: start)) }
                default: break
                }
                at += symbol.rawValue.utf8.count
                append(.symbol(symbol), at: start)
            }
        }

        private func isNameByte(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...0xFF: true
            default: false
            }
        }
    }
}
