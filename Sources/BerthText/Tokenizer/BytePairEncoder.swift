// The model of a tokenizer: byte-pair encoding (Sennrich, Haddow, Birch 2016) as the `tokenizers` package does it.
//
// A piece of text becomes symbols, one per character (or per byte, for byte-level models), and the applicable merge with
// the least rank, leftmost first, is applied until none is left. Short pieces scan for it; long ones keep a heap of
// candidates over a linked list, which makes n characters O(n log n): a hostile megabyte without spaces costs a second,
// not a day. Immutable and shared; the working memory of a call is its `Scratch`.

/// A byte-pair model.
struct BytePairEncoder: Sendable {
    struct Options: Sendable {
        /// What stands for characters that are no token; without it they vanish.
        var unknown: Int32?
        /// Adjacent unknown characters become one.
        var fusesUnknown = false
        /// Unknown characters become the tokens `<0x00>` to `<0xFF>` of their bytes.
        var fallsBackToBytes = false
        /// A piece that is a token as a whole is not merged up from its characters.
        var ignoresMerges = false
        /// In front of every character of a piece but the first.
        var continuingPrefix: [UInt8] = []
        /// After the last character of a piece.
        var endSuffix: [UInt8] = []
    }

    /// Working memory, reused from piece to piece.
    struct Scratch {
        fileprivate var symbols: [Int32] = []
        fileprivate var candidates: [Merge?] = []
        fileprivate var next: [Int32] = []
        fileprivate var previous: [Int32] = []
        fileprivate var heap = CandidateHeap()
        fileprivate var text: [UInt8] = []
    }

    /// Pieces of at most so many symbols are merged by scanning.
    private static let scanLimit = 24

    let vocabulary: Vocabulary
    private let merges: MergeTable
    private let options: Options
    /// For byte-level models: the symbol of each byte, -1 where it has none.
    private let byteSymbols: [Int32]
    /// The ids of `<0x00>` to `<0xFF>`, -1 where missing.
    private let fallbackSymbols: [Int32]

    init(vocabulary: Vocabulary, merges: MergeTable, options: Options) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.options = options
        byteSymbols = ByteAlphabet.encoded.map { vocabulary.id(of: $0) ?? -1 }
        let digits = Array("0123456789ABCDEF".utf8)
        fallbackSymbols = (0..<256).map { byte in
            vocabulary.id(of: Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15], UInt8(ascii: ">")]) ?? -1
        }
    }

    /// Appends the ids of one piece.
    ///
    /// - Parameter isByteLevel: the piece is raw bytes that stand for the characters of `ByteAlphabet`; otherwise it is UTF-8.
    func encode(_ piece: UnsafeBufferPointer<UInt8>, isByteLevel: Bool, scratch: inout Scratch, into ids: inout [Int32]) {
        guard !piece.isEmpty else { return }
        if options.ignoresMerges, let id = wholeToken(piece, isByteLevel, &scratch) {
            ids.append(id)
            return
        }
        scratch.symbols.removeAll(keepingCapacity: true)
        if !isByteLevel {
            appendSymbols(of: piece, to: &scratch.symbols)
        } else if !appendByteSymbols(of: piece, to: &scratch.symbols) {
            scratch.text.removeAll(keepingCapacity: true)
            ByteAlphabet.encode(piece, into: &scratch.text)
            scratch.symbols.removeAll(keepingCapacity: true)
            scratch.text.withUnsafeBufferPointer { appendSymbols(of: $0, to: &scratch.symbols) }
        }
        if scratch.symbols.count <= Self.scanLimit {
            mergeByScanning(&scratch)
            ids.append(contentsOf: scratch.symbols)
        } else {
            mergeByHeap(&scratch, into: &ids)
        }
    }

    private func wholeToken(_ piece: UnsafeBufferPointer<UInt8>, _ isByteLevel: Bool, _ scratch: inout Scratch) -> Int32? {
        guard isByteLevel else { return vocabulary.id(of: piece) }
        scratch.text.removeAll(keepingCapacity: true)
        ByteAlphabet.encode(piece, into: &scratch.text)
        return scratch.text.withUnsafeBufferPointer { vocabulary.id(of: $0) }
    }

    // MARK: characters to symbols

    /// The usual case of a byte-level model. False where a byte needs the general way.
    private func appendByteSymbols(of piece: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) -> Bool {
        guard options.continuingPrefix.isEmpty, options.endSuffix.isEmpty else { return false }
        for byte in piece {
            let symbol = byteSymbols[Int(byte)]
            guard symbol >= 0 else { return false }
            symbols.append(symbol)
        }
        return true
    }

    private func appendSymbols(of piece: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) {
        // An unknown token waits until the next known character: this is where adjacent ones fuse, and it is why bytes
        // of a character that fell back overtake an unknown one before them, as they do in the reference.
        var hasWaitingUnknown = false
        var at = 0
        while at < piece.count {
            let end = at + utf8Length(piece[at])
            let character = UnsafeBufferPointer(rebasing: piece[at..<end])
            let affixed = affix(character, isFirst: at == 0, isLast: end == piece.count)
            at = end
            if let id = affixed.map({ vocabulary.id(of: $0) }) ?? vocabulary.id(of: character) {
                if hasWaitingUnknown, let unknown = options.unknown { symbols.append(unknown) }
                hasWaitingUnknown = false
                symbols.append(id)
                continue
            }
            if options.fallsBackToBytes {
                let bytes = affixed ?? Array(character)
                if bytes.allSatisfy({ fallbackSymbols[Int($0)] >= 0 }) {
                    for byte in bytes { symbols.append(fallbackSymbols[Int(byte)]) }
                    continue
                }
            }
            if hasWaitingUnknown, !options.fusesUnknown, let unknown = options.unknown { symbols.append(unknown) }
            hasWaitingUnknown = true
        }
        if hasWaitingUnknown, let unknown = options.unknown { symbols.append(unknown) }
    }

    /// The character with the model's prefix and suffix; nil where it has none.
    private func affix(_ character: UnsafeBufferPointer<UInt8>, isFirst: Bool, isLast: Bool) -> [UInt8]? {
        let prefix = isFirst ? [] : options.continuingPrefix
        let suffix = isLast ? options.endSuffix : []
        return prefix.isEmpty && suffix.isEmpty ? nil : prefix + character + suffix
    }

    // MARK: merging

    /// O(n²) in the number of symbols, and the fastest while they fit a cache line or two.
    private func mergeByScanning(_ scratch: inout Scratch) {
        var count = scratch.symbols.count
        guard count > 1 else { return }
        scratch.candidates.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 { scratch.candidates.append(merges.merge(scratch.symbols[index], scratch.symbols[index + 1])) }
        scratch.symbols.withUnsafeMutableBufferPointer { symbols in
            scratch.candidates.withUnsafeMutableBufferPointer { candidates in
                while count > 1 {
                    var best = -1
                    var bestRank = UInt32.max
                    for index in 0..<count - 1 {
                        if let candidate = candidates[index], candidate.rank < bestRank || best < 0 { (best, bestRank) = (index, candidate.rank) }
                    }
                    guard best >= 0, let merge = candidates[best] else { break }
                    symbols[best] = merge.id
                    count -= 1
                    for index in best + 1..<max(count, best + 1) {
                        symbols[index] = symbols[index + 1]
                        candidates[index - 1] = candidates[index]
                    }
                    if best > 0 { candidates[best - 1] = merges.merge(symbols[best - 1], symbols[best]) }
                    if best + 1 < count { candidates[best] = merges.merge(symbols[best], symbols[best + 1]) }
                }
            }
        }
        scratch.symbols.removeLast(scratch.symbols.count - count)
    }

    /// O(n log n). A symbol that was merged into its left neighbour has -2 as its `next`.
    private func mergeByHeap(_ scratch: inout Scratch, into ids: inout [Int32]) {
        let count = scratch.symbols.count
        scratch.next = (0..<Int32(count)).map { $0 + 1 == Int32(count) ? -1 : $0 + 1 }
        scratch.previous = (0..<Int32(count)).map { $0 - 1 }
        var heap = CandidateHeap()
        swap(&heap, &scratch.heap)
        defer { swap(&heap, &scratch.heap) }
        scratch.symbols.withUnsafeMutableBufferPointer { symbols in
            scratch.next.withUnsafeMutableBufferPointer { next in
                scratch.previous.withUnsafeMutableBufferPointer { previous in
                    heap.fill(count - 1) { index in
                        merges.merge(symbols[index], symbols[index + 1]).map { (rank: $0.rank, position: UInt32(index)) }
                    }
                    while let (rank, position) = heap.pop() {
                        let left = Int(position)
                        guard next[left] >= 0 else { continue }
                        let right = Int(next[left])
                        // A candidate is out of date when one of its symbols has been merged since: the pair's rank differs.
                        guard let merge = merges.merge(symbols[left], symbols[right]), merge.rank == rank else { continue }
                        symbols[left] = merge.id
                        next[left] = next[right]
                        next[right] = -2
                        if next[left] >= 0 {
                            previous[Int(next[left])] = Int32(left)
                            if let candidate = merges.merge(merge.id, symbols[Int(next[left])]) { heap.push(candidate.rank, position) }
                        }
                        if previous[left] >= 0, let candidate = merges.merge(symbols[Int(previous[left])], merge.id) {
                            heap.push(candidate.rank, UInt32(previous[left]))
                        }
                    }
                    var index = 0
                    while index >= 0 {
                        ids.append(symbols[index])
                        index = Int(next[index])
                    }
                }
            }
        }
    }
}

/// A min-heap of (rank, position), ordered by rank and then by position. Four children per node: half the depth, and
/// siblings share a cache line.
private struct CandidateHeap {
    private var keys: [UInt64] = []

    /// Replaces the contents by the candidates of positions 0 ..< `count`. O(count).
    mutating func fill(_ count: Int, _ candidate: (Int) -> (rank: UInt32, position: UInt32)?) {
        keys.removeAll(keepingCapacity: true)
        for index in 0..<count {
            if let (rank, position) = candidate(index) { keys.append(UInt64(rank) << 32 | UInt64(position)) }
        }
        guard keys.count > 1 else { return }
        for index in stride(from: (keys.count - 2) / 4, through: 0, by: -1) { siftDown(from: index) }
    }

    mutating func push(_ rank: UInt32, _ position: UInt32) {
        let key = UInt64(rank) << 32 | UInt64(position)
        keys.append(key)
        keys.withUnsafeMutableBufferPointer { keys in
            var index = keys.count - 1
            while index > 0 {
                let parent = (index - 1) / 4
                guard keys[parent] > key else { break }
                keys[index] = keys[parent]
                index = parent
            }
            keys[index] = key
        }
    }

    mutating func pop() -> (rank: UInt32, position: UInt32)? {
        guard let least = keys.first, let last = keys.popLast() else { return nil }
        if !keys.isEmpty {
            keys[0] = last
            siftDown(from: 0)
        }
        return (UInt32(least >> 32), UInt32(truncatingIfNeeded: least))
    }

    private mutating func siftDown(from start: Int) {
        keys.withUnsafeMutableBufferPointer { keys in
            let key = keys[start]
            var index = start
            while true {
                let first = 4 * index + 1
                guard first < keys.count else { break }
                var least = first
                for child in first + 1..<max(first + 1, min(first + 4, keys.count)) where keys[child] < keys[least] { least = child }
                guard keys[least] < key else { break }
                keys[index] = keys[least]
                index = least
            }
            keys[index] = key
        }
    }
}
