// Pieces of a text, and the ways of splitting them.
//
// Pre-tokenizers cut a text into pieces, each cutting what the one before it left. Pieces are ranges of one buffer: steps
// that only cut never copy, steps that change text write a new buffer.

/// A text and the pieces that it is cut into.
struct Pieces {
    struct Piece {
        var start: Int
        var end: Int
        /// How many of the piece's bytes, from its start, come from the very first character of the user's text. Metaspace's
        /// `first` scheme asks for it: what was inserted or expanded there counts as the first, however often it is cut.
        var fromFirst: Int
    }

    var bytes: [UInt8] = []
    var pieces: [Piece] = []
}

/// What becomes of the matches of a pattern when a piece is cut by it.
enum SplitBehavior: String {
    /// Matches vanish.
    case removed = "Removed"
    /// Matches are pieces.
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    /// Adjacent matches are one piece.
    case contiguous = "Contiguous"
}

/// The ranges of one piece, which cover it in order: matches of a pattern and what is between them.
///
/// Receives matches with `add(start, end)` and turns them into pieces with `append`.
struct Splitter {
    private struct Span {
        var start: Int
        var end: Int
        var isMatch: Bool
    }
    private var spans: [Span] = []
    private var covered = 0

    /// Adds the next match. Starts and ends are relative to the piece and do not fall.
    mutating func add(_ start: Int, _ end: Int) {
        if covered != start { spans.append(Span(start: covered, end: start, isMatch: false)) }
        spans.append(Span(start: start, end: end, isMatch: true))
        covered = end
    }

    /// Appends the pieces that `piece` falls into, empty ones left out, and starts over.
    mutating func append(piece: Pieces.Piece, behavior: SplitBehavior, isInverted: Bool, to pieces: inout [Pieces.Piece]) {
        let length = piece.end - piece.start
        if covered != length { spans.append(Span(start: covered, end: length, isMatch: false)) }
        if isInverted { for index in spans.indices { spans[index].isMatch.toggle() } }
        func add(_ start: Int, _ end: Int) {
            guard start < end else { return }
            pieces.append(Pieces.Piece(start: piece.start + start, end: piece.start + end, fromFirst: max(0, piece.fromFirst - start)))
        }
        switch behavior {
        case .isolated: for span in spans { add(span.start, span.end) }
        case .removed: for span in spans where !span.isMatch { add(span.start, span.end) }
        case .mergedWithNext:
            // The mirror image of `.mergedWithPrevious`: matches are joined from the right.
            spans.reverse()
            for span in merged(when: { isMatch, wasMatch in isMatch && !wasMatch }).reversed() { add(span.start, span.end) }
        case .mergedWithPrevious: for span in merged(when: { isMatch, wasMatch in isMatch && !wasMatch }) { add(span.start, span.end) }
        case .contiguous: for span in merged(when: { isMatch, wasMatch in isMatch == wasMatch }) { add(span.start, span.end) }
        }
        spans.removeAll(keepingCapacity: true)
        covered = 0
    }

    /// Joins each span to the one before it (in the order of `spans`) where `joins` says so.
    private func merged(when joins: (_ isMatch: Bool, _ wasMatch: Bool) -> Bool) -> [Span] {
        var result: [Span] = []
        var wasMatch = false
        for span in spans {
            if joins(span.isMatch, wasMatch), let last = result.last {
                result[result.count - 1].start = min(last.start, span.start)
                result[result.count - 1].end = max(last.end, span.end)
            } else {
                result.append(span)
            }
            wasMatch = span.isMatch
        }
        return result
    }
}
