// The set of free pages, as a bitmap.
//
// Two users with different needs take from opposite ends. Single pages (KV blocks) come from the top; runs (adapters,
// experts) come from the bottom, contiguous where such a run exists, because a contiguous lease needs no kernel mapping of
// its own. A run that does not exist is no failure: the lowest free pages are taken one by one.

struct FreePages {
    private var words: [UInt64] = []
    private(set) var count = 0
    /// No word below `lowestWord` or above `highestWord` has a free page.
    private var lowestWord = 0
    private var highestWord = 0

    /// A set for pages below `pageCount`, with none in it.
    init(pageCount: Int) { grow(to: pageCount) }

    /// Takes pages below `pageCount` from now on; those that are new are not in the set.
    mutating func grow(to pageCount: Int) {
        words += Array(repeating: 0, count: max(0, (pageCount + 63) / 64 - words.count))
        if count == 0 { lowestWord = words.count - 1 }
    }

    func contains(_ page: Int) -> Bool { words[page / 64] >> UInt64(page % 64) & 1 == 1 }

    mutating func insert(_ page: Int) {
        precondition(!contains(page), "page \(page) is free already")
        words[page / 64] |= 1 << UInt64(page % 64)
        count += 1
        lowestWord = min(lowestWord, page / 64)
        highestWord = max(highestWord, page / 64)
    }

    mutating func remove(_ page: Int) {
        precondition(contains(page), "page \(page) is not free")
        words[page / 64] &= ~(1 << UInt64(page % 64))
        count -= 1
    }

    /// Takes the free page with the highest index. O(words) in the worst case, O(1) as a rule. There must be one.
    mutating func takeHighest() -> Int {
        precondition(count > 0)
        while words[highestWord] == 0 { highestWord -= 1 }
        let page = highestWord * 64 + 63 - words[highestWord].leadingZeroBitCount
        remove(page)
        return page
    }

    /// Takes `wanted` pages in rising order, contiguous where possible. There must be that many. O(words + wanted).
    mutating func takeLowest(_ wanted: Int) -> [Int] {
        precondition(wanted <= count)
        if let first = firstRun(of: wanted) {
            for page in first..<first + wanted { remove(page) }
            return Array(first..<first + wanted)
        }
        var pages: [Int] = []
        pages.reserveCapacity(wanted)
        while pages.count < wanted {
            while words[lowestWord] == 0 { lowestWord += 1 }
            let page = lowestWord * 64 + words[lowestWord].trailingZeroBitCount
            remove(page)
            pages.append(page)
        }
        return pages
    }

    /// The lowest page at which `length` free pages stand in a row.
    private mutating func firstRun(of length: Int) -> Int? {
        guard length > 0 else { return 0 }
        while lowestWord < words.count, words[lowestWord] == 0 { lowestWord += 1 }
        var start = lowestWord * 64
        var run = 0
        for index in lowestWord..<words.count {
            var word = words[index]
            if word == 0 || word == .max {
                if word == 0 {
                    run = 0
                    start = (index + 1) * 64
                } else {
                    run += 64
                }
                if run >= length { return start }
                continue
            }
            // Runs of ones and zeros, alternating, from the low bits up.
            var bit = 0
            while bit < 64 {
                let ones = (~word).trailingZeroBitCount
                run += min(ones, 64 - bit)
                if run >= length { return start }
                bit += ones
                guard bit < 64 else { break }
                word >>= UInt64(ones)
                let zeros = word == 0 ? 64 - bit : word.trailingZeroBitCount
                bit += zeros
                word = zeros < 64 ? word >> UInt64(zeros) : 0
                run = 0
                start = index * 64 + bit
            }
        }
        return nil
    }
}
