// Python's notions of letters, digits, cases and white space, over Swift's Unicode tables.

extension Unicode.Scalar {
    /// `str.isspace`: bidirectional type WS, B or S, or category Zs.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// A line boundary of `str.splitlines`.
    var isPythonLineBreak: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    var isPythonAlphabetic: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isPythonDecimal: Bool { properties.generalCategory == .decimalNumber }
    var isPythonDigit: Bool { properties.numericType == .digit || properties.numericType == .decimal }
    var isPythonNumeric: Bool { properties.numericType != nil }
    var isPythonAlphanumeric: Bool { isPythonAlphabetic || isPythonDecimal || isPythonDigit || isPythonNumeric }

    /// A character of a `\w` in Python's `re`.
    var isPythonWord: Bool { self == "_" || isPythonAlphanumeric }

    /// Whether `repr` shows the character as it is.
    var isPythonPrintable: Bool {
        if value < 0x7F { return value >= 0x20 }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return false
        default: return true
        }
    }

    var isPythonCased: Bool { properties.isUppercase || properties.isLowercase || properties.generalCategory == .titlecaseLetter }
}

extension Jinja.Text {
    private var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

    func uppercased() -> Self {
        if isASCII { return Self(bytes: bytes.map { $0 >= 0x61 && $0 <= 0x7A ? $0 - 32 : $0 }) }
        var result = Self()
        for scalar in scalars { result.bytes.append(contentsOf: scalar.properties.uppercaseMapping.utf8) }
        return result
    }

    func lowercased() -> Self {
        if isASCII { return Self(bytes: bytes.map { $0 >= 0x41 && $0 <= 0x5A ? $0 + 32 : $0 }) }
        let scalars = self.scalars
        var result = Self()
        for index in scalars.indices { result.appendLower(scalars, index) }
        return result
    }

    /// Appends the lower case of `scalars[index]`; a capital sigma at the end of a word has a form of its own.
    private mutating func appendLower(_ scalars: [Unicode.Scalar], _ index: Int) {
        guard scalars[index] == "Σ" else {
            bytes.append(contentsOf: scalars[index].properties.lowercaseMapping.utf8)
            return
        }
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        append(scalar: before?.isPythonCased == true && after?.isPythonCased != true ? "ς" : "σ")
    }

    func capitalized() -> Self {
        let scalars = self.scalars
        var result = Self()
        for index in scalars.indices {
            if index == 0 {
                result.bytes.append(contentsOf: scalars[0].properties.titlecaseMapping.utf8)
            } else {
                result.appendLower(scalars, index)
            }
        }
        return result
    }

    /// `str.title`: every run of cased characters begins with a capital.
    func titlecased() -> Self {
        let scalars = self.scalars
        var result = Self()
        var inWord = false
        for index in scalars.indices {
            if inWord {
                result.appendLower(scalars, index)
            } else {
                result.bytes.append(contentsOf: scalars[index].properties.titlecaseMapping.utf8)
            }
            inWord = scalars[index].isPythonCased
        }
        return result
    }

    func swappedCase() -> Self {
        let scalars = self.scalars
        var result = Self()
        for index in scalars.indices {
            if scalars[index].properties.isUppercase {
                result.appendLower(scalars, index)
            } else {
                result.bytes.append(contentsOf: scalars[index].properties.uppercaseMapping.utf8)
            }
        }
        return result
    }

    /// `str.islower`: some cased character, and none that is not lower.
    var isLowercase: Bool {
        var any = false
        for scalar in scalars {
            if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            if scalar.properties.isLowercase { any = true }
        }
        return any
    }

    var isUppercase: Bool {
        var any = false
        for scalar in scalars {
            if scalar.properties.isLowercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            if scalar.properties.isUppercase { any = true }
        }
        return any
    }

    var isTitlecase: Bool {
        var any = false
        var inWord = false
        for scalar in scalars {
            if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter {
                if inWord { return false }
                inWord = true
                any = true
            } else if scalar.properties.isLowercase {
                if !inWord { return false }
                any = true
            } else {
                inWord = false
            }
        }
        return any
    }

    /// Whether the text is not empty and each code point satisfies `predicate`.
    func all(_ predicate: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && scalars.allSatisfy(predicate) }

    enum Side { case both, left, right }

    /// The text without the characters `predicate` names at its ends.
    func stripped(_ side: Side = .both, of predicate: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> Self {
        var start = 0
        var end = bytes.count
        if side != .right {
            while start < end, predicate(scalar(at: start)) { start = offset(after: start) }
        }
        if side != .left {
            while end > start {
                let last = offset(before: end)
                guard predicate(scalar(at: last)) else { break }
                end = last
            }
        }
        return Self(bytes: bytes[start..<end])
    }

    /// The maximal runs of characters that are not white space; at most `limit` splits, the rest stays whole.
    func splitOnSpace(limit: Int) -> [Self] {
        var result: [Self] = []
        var at = 0
        while true {
            while at < bytes.count, scalar(at: at).isPythonSpace { at = offset(after: at) }
            guard at < bytes.count else { return result }
            if result.count >= limit { return result + [Self(bytes: bytes[at...])] }
            let start = at
            while at < bytes.count, !scalar(at: at).isPythonSpace { at = offset(after: at) }
            result.append(Self(bytes: bytes[start..<at]))
        }
    }

    func splitOnSpaceFromEnd(limit: Int) -> [Self] {
        var result: [Self] = []
        var end = bytes.count
        while true {
            while end > 0, scalar(at: offset(before: end)).isPythonSpace { end = offset(before: end) }
            guard end > 0 else { return result.reversed() }
            if result.count >= limit { return [Self(bytes: bytes[..<end])] + result.reversed() }
            let stop = end
            while end > 0, !scalar(at: offset(before: end)).isPythonSpace { end = offset(before: end) }
            result.append(Self(bytes: bytes[end..<stop]))
        }
    }

    func lines(keepingEnds: Bool) -> [Self] {
        var result: [Self] = []
        var start = 0
        var at = 0
        while at < bytes.count {
            let scalar = scalar(at: at)
            var next = offset(after: at)
            if scalar.isPythonLineBreak {
                if scalar == "\r", next < bytes.count, bytes[next] == 0x0A { next += 1 }
                result.append(Self(bytes: bytes[start..<(keepingEnds ? next : at)]))
                start = next
            }
            at = next
        }
        if start < bytes.count { result.append(Self(bytes: bytes[start...])) }
        return result
    }
}
