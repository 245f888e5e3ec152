// Oniguruma's regular expressions (Ruby syntax, UTF-8) in the words of PCRE2.
//
// The two agree on most things; where they differ, a tokenizer would cut words differently, so each difference is spelled
// out here: `^` and `$` match at every line (an option of the whole pattern), `(?m)` lets the dot match newlines, `\h` is a
// hexadecimal digit, `\v` a vertical tab, `{,n}` starts at zero, `{n,m}+` repeats (it is not possessive), classes nest and
// intersect, and the classes of characters come from `UnicodeClass` rather than from whatever Unicode version the
// installed PCRE2 has. What has no counterpart is refused by name.

import BerthCore

/// Translates one pattern. Use once.
struct OnigurumaPattern {
    private let input: [Unicode.Scalar]
    private let path: String
    private var at = 0
    private var output: [UInt8] = []
    /// Where in `output` the last atom starts: what a quantifier applies to.
    private var atomStart = 0
    /// For each open group (the whole pattern first): where in `output` it starts, and how many `(?i)` in it wait for their end.
    private var groups = [(start: 0, flagged: 0)]

    init(_ pattern: String, path: String) {
        input = Array(pattern.unicodeScalars)
        self.path = path
    }

    mutating func translated() throws(TextError) -> String {
        while let scalar = next() {
            switch scalar {
            case "\\": try escape()
            case "[": try emitAtom(characterClass())
            case "(": try openGroup()
            case ")":
                guard groups.count > 1, let group = groups.popLast() else { throw unsupported("an unmatched ')'") }
                emit(String(repeating: ")", count: group.flagged + 1))
                atomStart = group.start
            case "{": interval()
            case "*", "+", "?": quantifier(String(scalar))
            case "|", "^", "$", ".":
                emitAtom(String(scalar))
            default: emitAtom(Self.literal(scalar))
            }
        }
        guard groups.count == 1 else { throw unsupported("a missing ')'") }
        emit(String(repeating: ")", count: groups[0].flagged))
        return String(decoding: output, as: UTF8.self)
    }

    // MARK: reading

    private func unsupported(_ what: String) -> TextError { TextError(.unsupported, "\(path): \(what) in a regular expression") }

    private var peek: Unicode.Scalar? { at < input.count ? input[at] : nil }

    private mutating func next() -> Unicode.Scalar? {
        guard at < input.count else { return nil }
        at += 1
        return input[at - 1]
    }

    private mutating func skip(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        guard input[at...].starts(with: scalars) else { return false }
        at += scalars.count
        return true
    }

    /// Reads up to `end`, which is consumed.
    private mutating func read(upTo end: Unicode.Scalar) throws(TextError) -> String {
        var text = ""
        while let scalar = next() {
            if scalar == end { return text }
            text.unicodeScalars.append(scalar)
        }
        throw unsupported("a missing '\(end)'")
    }

    private mutating func emit(_ text: String) { output.append(contentsOf: text.utf8) }

    private mutating func emitAtom(_ text: String) {
        atomStart = output.count
        emit(text)
    }

    /// `scalar` as itself, outside and inside of classes.
    static func literal(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "0"..."9", "A"..."Z", "a"..."z": String(scalar)
        case "!"..."~": "\\\(scalar)"
        default: "\\x{\(String(scalar.value, radix: 16))}"
        }
    }

    // MARK: groups and repetition

    private mutating func openGroup() throws(TextError) {
        let start = output.count
        guard skip("?") else {
            emit("(")
            try open(start)
            return
        }
        if skip("#") {
            _ = try read(upTo: ")")
            return
        }
        if let scalar = peek, "imx-".unicodeScalars.contains(scalar) {
            let (flags, hasBody) = try flags()
            emit("(?\(flags):")
            if hasBody { try open(start) } else { groups[groups.count - 1].flagged += 1 }
            return
        }
        emit("(?")
        for sign in ["<=", "<!", "=", "!", ">", ":"] where skip(sign) {
            emit(sign)
            try open(start)
            return
        }
        guard skip("<") else { throw unsupported("the group '(?\(peek.map { String($0) } ?? "")'") }
        emit("<" + (try read(upTo: ">")) + ">")
        try open(start)
    }

    private mutating func open(_ start: Int) throws(TextError) {
        groups.append((start, 0))
        guard groups.count <= Limits.patternDepth else {
            throw TextError(.tooLarge, "\(path): groups nested deeper than \(Limits.patternDepth) in a regular expression")
        }
    }

    /// `imx-imx:` or `imx-imx)`, with Ruby's m (the dot matches newlines) as s. Without a body (`(?i)`) they hold to the end
    /// of the enclosing group, alternatives included: as if the rest of the group stood in a group of its own.
    private mutating func flags() throws(TextError) -> (flags: String, hasBody: Bool) {
        var text = ""
        while let scalar = next() {
            switch scalar {
            case "m": text += "s"
            case "i", "-": text.unicodeScalars.append(scalar)
            case ":", ")": return (text, scalar == ":")
            default: throw unsupported("the flag '\(scalar)'")
            }
        }
        throw unsupported("a missing ')'")
    }

    /// After `*`, `+` or `?`: a following `?` makes it lazy and a following `+` possessive, in both engines.
    private mutating func quantifier(_ sign: String) {
        emit(sign)
        if skip("?") { emit("?") } else if skip("+") { emit("+") }
        groupIfRepeated()
    }

    /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; any other brace is itself.
    private mutating func interval() {
        let start = at
        var low = ""
        var high: String?
        while let scalar = peek, ("0"..."9").contains(scalar) || (scalar == "," && high == nil) {
            at += 1
            if scalar == "," { high = "" } else if high != nil { high!.unicodeScalars.append(scalar) } else { low.unicodeScalars.append(scalar) }
        }
        guard peek == "}", !low.isEmpty || high?.isEmpty == false else {
            at = start
            emitAtom("\\{")
            return
        }
        at += 1
        emit("{\(low.isEmpty ? "0" : low)\(high.map { "," + $0 } ?? "")}")
        // `{n}?` is "n times or not at all" and `{n,m}+` repeats the whole: both mean a group around what stands so far.
        if high != nil, skip("?") { emit("?") }
        groupIfRepeated()
    }

    /// Oniguruma lets a repetition be repeated; PCRE2 wants a group for that.
    private mutating func groupIfRepeated() {
        guard peek == "+" || peek == "?" || peek == "*" || peek == "{" else { return }
        output.insert(contentsOf: "(?:".utf8, at: atomStart)
        emit(")")
    }

    // MARK: escapes

    private mutating func escape() throws(TextError) {
        guard let scalar = next() else { throw unsupported("a '\\' at the end") }
        switch scalar {
        case "b": emitAtom(Self.boundary(isNegated: false))
        case "B": emitAtom(Self.boundary(isNegated: true))
        case "w": emitAtom("[\(UnicodeClass.wordOutsideBrackets.body)]")
        case "W": emitAtom("[^\(UnicodeClass.wordOutsideBrackets.body)]")
        case "A", "z", "Z", "G", "K", "R", "1"..."9": emitAtom("\\\(scalar)")
        case "k", "g":
            guard skip("<") else { throw unsupported("'\\\(scalar)' without '<'") }
            emitAtom("\\\(scalar)<" + (try read(upTo: ">")) + ">")
        case "X", "y", "Y", "N", "O", "C", "M": throw unsupported("'\\\(scalar)'")
        default:
            at -= 1
            let member = try member()
            var body = ClassBody()
            body.add(member)
            emitAtom(body.rendered)
        }
    }

    private static func boundary(isNegated: Bool) -> String {
        let word = UnicodeClass.wordOutsideBrackets.body
        return isNegated ? "(?:(?<=[\(word)])(?=[\(word)])|(?<![\(word)])(?![\(word)]))" : "(?:(?<=[\(word)])(?![\(word)])|(?<![\(word)])(?=[\(word)]))"
    }

    /// What a backslash (already read) starts: one character or a class of them.
    private mutating func member() throws(TextError) -> ClassMember {
        guard let scalar = next() else { throw unsupported("a '\\' at the end") }
        switch scalar {
        case "s": return .set(.whiteSpace, isNegated: false)
        case "S": return .set(.whiteSpace, isNegated: true)
        case "d": return .set(.digit, isNegated: false)
        case "D": return .set(.digit, isNegated: true)
        case "w": return .set(.word, isNegated: false)
        case "W": return .set(.word, isNegated: true)
        case "h": return .set(.hexadecimal, isNegated: false)
        case "H": return .set(.hexadecimal, isNegated: true)
        case "p", "P":
            guard skip("{") else { throw unsupported("'\\\(scalar)' without '{'") }
            let isInverse = skip("^")
            return .set(try UnicodeClass(property: try read(upTo: "}"), at: path), isNegated: isInverse != (scalar == "P"))
        case "t": return .scalar("\t")
        case "n": return .scalar("\n")
        case "r": return .scalar("\r")
        case "f": return .scalar("\u{0C}")
        case "v": return .scalar("\u{0B}")
        case "a": return .scalar("\u{07}")
        case "e": return .scalar("\u{1B}")
        case "b": return .scalar("\u{08}")
        case "x":
            if skip("{") { return try code(try read(upTo: "}"), radix: 16) }
            // Two digits are a byte, and a byte above 7F is no character in UTF-8.
            let byte = digits(upTo: 2, radix: 16)
            guard byte.utf8.count < 2 || byte.utf8.first! < UInt8(ascii: "8") else { throw unsupported("the byte '\\x\(byte)'") }
            return try code(byte, radix: 16)
        case "u": return try code(digits(upTo: 4, radix: 16), radix: 16)
        case "0": return try code("0" + digits(upTo: 2, radix: 8), radix: 8)
        default: return .scalar(scalar)
        }
    }

    private mutating func digits(upTo count: Int, radix: Int) -> String {
        var text = ""
        while text.utf8.count < count, let scalar = peek, scalar.isASCII, Character(scalar).hexDigitValue.map({ $0 < radix }) == true {
            text.unicodeScalars.append(scalar)
            at += 1
        }
        return text
    }

    private func code(_ digits: String, radix: Int) throws(TextError) -> ClassMember {
        guard let value = UInt32(digits, radix: radix), let scalar = Unicode.Scalar(value) else {
            throw unsupported("the character code '\(digits)'")
        }
        return .scalar(scalar)
    }

    // MARK: classes

    /// What follows `[`, through its `]`, as an expression for one character.
    private mutating func characterClass(depth: Int = 1) throws(TextError) -> String {
        guard depth <= Limits.patternDepth else { throw TextError(.tooLarge, "\(path): classes nested deeper than \(Limits.patternDepth)") }
        let isNegated = skip("^")
        var bodies = [ClassBody()]
        var isFirst = true
        while true {
            guard let scalar = next() else { throw unsupported("a missing ']'") }
            defer { isFirst = false }
            switch scalar {
            case "]" where !isFirst: return ClassBody.intersection(bodies, isNegated: isNegated)
            case "[":
                if skip(":") {
                    let isInverse = skip("^")
                    let name = try read(upTo: ":")
                    guard skip("]") else { throw unsupported("the class '[:\(name)'") }
                    bodies[bodies.count - 1].add(.set(try UnicodeClass(property: name, at: path), isNegated: isInverse))
                } else {
                    bodies[bodies.count - 1].add(expression: try characterClass(depth: depth + 1))
                }
            case "&" where skip("&"): bodies.append(ClassBody())
            default:
                let low = scalar == "\\" ? try member() : .scalar(scalar)
                bodies[bodies.count - 1].add(try range(from: low) ?? low)
            }
        }
    }

    /// `low-high`, where a hyphen and an end of a range follow; nil where `low` stands alone.
    private mutating func range(from low: ClassMember) throws(TextError) -> ClassMember? {
        guard case .scalar(let first) = low, peek == "-", at + 1 < input.count, input[at + 1] != "]", input[at + 1] != "[" else { return nil }
        let resume = at
        at += 1
        let scalar = next()!
        let high = scalar == "\\" ? try member() : .scalar(scalar)
        guard case .scalar(let last) = high else {
            at = resume
            return nil
        }
        guard first <= last else { throw unsupported("the range '\(first)-\(last)'") }
        return .range(first, last)
    }
}
