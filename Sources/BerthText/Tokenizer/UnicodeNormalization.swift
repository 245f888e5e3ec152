// Unicode's normal forms (Unicode Standard Annex 15), with the tables of the reference's version.
//
// The Swift library has them only behind Foundation (and ICU's 40 MB), and of whichever Unicode version it is built with;
// a tokenizer needs one version for ever. The tables come from `Scripts/make-unicode-tables`, which asks the reference.
// Decompose, sort marks by combining class, then compose with the last starter. Texts without anything to do (no
// character from U+0300 up for NFC, ASCII for the others) pass untouched.

/// One of NFC, NFD, NFKC, NFKD.
struct UnicodeNormalization: Sendable {
    let isCompatibility: Bool
    let composes: Bool
    private let tables = NormalizationTables.shared

    init(isCompatibility: Bool, composes: Bool) {
        self.isCompatibility = isCompatibility
        self.composes = composes
    }

    /// Brings well-formed UTF-8 into the form.
    ///
    /// - Parameter mark: how many leading bytes are marked. Returns how many are afterwards: those of the first character
    ///   of the result when there were any.
    func normalize(_ text: inout [UInt8], mark: Int) -> Int {
        let firstInteresting: UInt8 = composes && !isCompatibility ? 0xCC : 0x80
        guard text.contains(where: { $0 >= firstInteresting }) else { return mark }
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var run: [(scalar: Unicode.Scalar, combiningClass: UInt8)] = []
        text.withUnsafeBufferPointer { bytes in
            var at = 0
            while at < bytes.count {
                let scalar = utf8Scalar(bytes, at: at)
                at += utf8Length(bytes[at])
                // A starter that joins nothing before it ends the run: normal forms do not look across it.
                if !run.isEmpty, tables.startsRun(scalar, isCompatibility) { flush(&run, into: &output) }
                tables.decompose(scalar, isCompatibility) { run.append(($0, tables.combiningClass($0))) }
            }
        }
        flush(&run, into: &output)
        text = output
        return mark > 0 && !output.isEmpty ? max(utf8Length(output[0]), min(mark, output.count)) : 0
    }

    private func flush(_ run: inout [(scalar: Unicode.Scalar, combiningClass: UInt8)], into output: inout [UInt8]) {
        sortMarks(&run)
        if composes { compose(&run) }
        for element in run { output.append(element.scalar) }
        run.removeAll(keepingCapacity: true)
    }

    /// Sorts each sequence of marks by combining class, equal ones staying in order.
    private func sortMarks(_ run: inout [(scalar: Unicode.Scalar, combiningClass: UInt8)]) {
        var start = 0
        while start < run.count {
            guard run[start].combiningClass != 0 else {
                start += 1
                continue
            }
            var end = start
            var isSorted = true
            while end < run.count, run[end].combiningClass != 0 {
                if end > start, run[end].combiningClass < run[end - 1].combiningClass { isSorted = false }
                end += 1
            }
            // The library's sort is stable, and O(n log n) for hostile texts of a million marks.
            if !isSorted { run[start..<end].sort { $0.combiningClass < $1.combiningClass } }
            start = end
        }
    }

    private func compose(_ run: inout [(scalar: Unicode.Scalar, combiningClass: UInt8)]) {
        guard run.count > 1 else { return }
        var kept = 0
        var starter: Int?
        var lastClass: UInt8?
        for index in run.indices {
            let element = run[index]
            // Blocked by a mark of the same or a higher class between it and the starter.
            if let starter, lastClass == nil || lastClass! < element.combiningClass,
                let composed = tables.compose(run[starter].scalar, element.scalar)
            {
                run[starter].scalar = composed
                continue
            }
            if element.combiningClass == 0 {
                starter = kept
                lastClass = nil
            } else {
                lastClass = element.combiningClass
            }
            run[kept] = element
            kept += 1
        }
        run.removeLast(run.count - kept)
    }
}

/// Decompositions, combining classes and compositions, unpacked once from `UnicodeTables`.
final class NormalizationTables: Sendable {
    static let shared = NormalizationTables()

    /// Two levels: for each block of 256 code points the index of its page, 0 being the empty page.
    private struct Paged<Value: Sendable>: Sendable {
        private var blocks = [UInt16](repeating: 0, count: 0x1100)
        private var values: [Value]
        init(_ empty: Value) { values = Array(repeating: empty, count: 256) }
        subscript(scalar: Unicode.Scalar) -> Value {
            get { values[Int(blocks[Int(scalar.value >> 8)]) << 8 | Int(scalar.value & 0xFF)] }
            set {
                let block = Int(scalar.value >> 8)
                if blocks[block] == 0 {
                    blocks[block] = UInt16(values.count >> 8)
                    values.append(contentsOf: values[..<256])
                }
                values[Int(blocks[block]) << 8 | Int(scalar.value & 0xFF)] = newValue
            }
        }
    }

    private struct Entry {
        /// Where the full decompositions stand in `scalars`; a count of 0 means none.
        var canonical: UInt16 = 0
        var compatibility: UInt16 = 0
        var canonicalCount: UInt8 = 0
        var compatibilityCount: UInt8 = 0
        var combiningClass: UInt8 = 0
        /// It can be the second of a composition.
        var joins = false
    }

    private let entries: Paged<Entry>
    private let scalars: [Unicode.Scalar]
    private let compositions: [UInt64: Unicode.Scalar]

    private init() {
        var entries = Paged(Entry())
        var scalars: [Unicode.Scalar] = []
        var compositions: [UInt64: Unicode.Scalar] = [:]
        func store(_ decomposition: [Unicode.Scalar]) -> (UInt16, UInt8) {
            scalars.append(contentsOf: decomposition)
            return (UInt16(scalars.count - decomposition.count), UInt8(decomposition.count))
        }
        func scalar(_ hexadecimal: Substring) -> Unicode.Scalar { Unicode.Scalar(UInt32(hexadecimal, radix: 16)!)! }
        var composable: [(composite: Unicode.Scalar, parts: [Unicode.Scalar])] = []
        for entry in UnicodeTables.entries(UnicodeTables.canonical) {
            let parts = entry.ranges.map { Unicode.Scalar($0.lowerBound)! }
            let isExcluded = entry.key.hasPrefix("!")
            let composite = scalar(isExcluded ? entry.key.dropFirst() : entry.key[...])
            (entries[composite].canonical, entries[composite].canonicalCount) = store(parts)
            if !isExcluded { composable.append((composite, parts)) }
        }
        for entry in UnicodeTables.entries(UnicodeTables.compatibility) {
            let wide = scalar(entry.key[...])
            (entries[wide].compatibility, entries[wide].compatibilityCount) = store(entry.ranges.map { Unicode.Scalar($0.lowerBound)! })
        }
        for entry in UnicodeTables.entries(UnicodeTables.combiningClasses) {
            for value in entry.ranges.joined() { entries[Unicode.Scalar(value)!].combiningClass = UInt8(entry.key, radix: 16)! }
        }
        // Composition goes by pairs: a long composite is the composite of all its parts but the last, and the last.
        for (composite, parts) in composable.sorted(by: { $0.parts.count < $1.parts.count }) {
            var first: Unicode.Scalar? = parts[0]
            for part in parts[1..<parts.count - 1] { first = first.flatMap { compositions[Self.key($0, part)] } }
            guard let first else { preconditionFailure("UnicodeTables: U+\(String(composite.value, radix: 16)) has no pair") }
            compositions[Self.key(first, parts[parts.count - 1])] = composite
            entries[parts[parts.count - 1]].joins = true
        }
        // The vowels and final consonants of Hangul syllables, composed by arithmetic.
        for value in Array(0x1161...0x1175) + Array(0x11A8...0x11C2) { entries[Unicode.Scalar(UInt32(value))!].joins = true }
        self.entries = entries
        self.scalars = scalars
        self.compositions = compositions
    }

    private static func key(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 { UInt64(first.value) << 32 | UInt64(second.value) }

    func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 { entries[scalar].combiningClass }

    /// Whether nothing before `scalar` can interact with it: it is a starter, composes with nothing before it, and so does
    /// the first character of its decomposition.
    func startsRun(_ scalar: Unicode.Scalar, _ isCompatibility: Bool) -> Bool {
        var first: Unicode.Scalar?
        decompose(scalar, isCompatibility) { if first == nil { first = $0 } }
        let entry = entries[first ?? scalar]
        return entry.combiningClass == 0 && !entry.joins
    }

    /// Calls `body` with each character of the full decomposition.
    func decompose(_ scalar: Unicode.Scalar, _ isCompatibility: Bool, _ body: (Unicode.Scalar) -> Void) {
        if scalar.value >= 0xAC00, scalar.value <= 0xD7A3 {
            let index = scalar.value - 0xAC00
            body(Unicode.Scalar(0x1100 + index / 588)!)
            body(Unicode.Scalar(0x1161 + index % 588 / 28)!)
            if index % 28 != 0 { body(Unicode.Scalar(0x11A7 + index % 28)!) }
            return
        }
        let entry = entries[scalar]
        let isCompatible = isCompatibility && entry.compatibilityCount > 0
        let start = Int(isCompatible ? entry.compatibility : entry.canonical)
        let count = Int(isCompatible ? entry.compatibilityCount : entry.canonicalCount)
        if count == 0 { body(scalar) }
        for index in start..<start + count { body(scalars[index]) }
    }

    /// The primary composite of two characters.
    func compose(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        guard entries[second].joins else { return nil }
        if first.value >= 0x1100, first.value <= 0x1112, second.value >= 0x1161, second.value <= 0x1175 {
            return Unicode.Scalar(0xAC00 + ((first.value - 0x1100) * 21 + second.value - 0x1161) * 28)
        }
        if first.value >= 0xAC00, first.value <= 0xD7A3, (first.value - 0xAC00) % 28 == 0, second.value >= 0x11A8, second.value <= 0x11C2 {
            return Unicode.Scalar(first.value + second.value - 0x11A7)
        }
        return compositions[Self.key(first, second)]
    }
}
