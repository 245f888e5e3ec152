// How much of the time waves get beside streams.
//
// Where nobody else runs, all of it. Beside ordinary steps a wave earns a share of what each of them takes, and its next piece runs when so
// much has been earned: a stream's tokens come a little later, and never by more than a piece at a time.

/// Times in nanoseconds; a pure value.
struct WavePace {
    /// Of an ordinary step's time.
    static let share = 0.2
    /// How much of an earlier maximum is left after another piece.
    private static let fading = 0.98

    private var credit = 0.0
    /// What a piece takes, about the longest of late.
    private(set) var piece = 0.0
    /// A piece beside streams shall take about this long, and no longer than the streams' own steps of late: then nobody waits more than twice as long.
    private static let mostPiece = 40e6
    private static let leastPiece = 5e6
    private var step = 0.0
    private var wantedPiece: Double { min(Self.mostPiece, max(Self.leastPiece, 0.8 * step)) }
    private static let leastPartRows = 32
    private var partRows = Int.max
    /// When the piece began whose time is not known yet.
    private var begun: UInt64?
    private var lastPiece: UInt64 = 0

    /// An ordinary step has taken so long.
    mutating func stepTook(_ time: UInt64) {
        step = step == 0 ? Double(time) : step + (Double(time) - step) / 8
        credit = min(credit + Self.share * Double(time), max(piece, Double(time)))
    }

    mutating func beginPiece(now: UInt64) { begun = now }

    /// The next step begins, right after the one before.
    mutating func finishPiece(now: UInt64) {
        guard let start = begun else { return }
        begun = nil
        guard now >= start else { return }
        lastPiece += now - start
        piece = max(Double(now - start), piece * Self.fading)
        credit = max(0, credit - Double(now - start))
    }

    /// What the last piece took, as far as it was not asked for before.
    mutating func takeLastPiece() -> UInt64 {
        defer { lastPiece = 0 }
        return lastPiece
    }

    /// No step follows until an input comes: the time until then says nothing about the piece before.
    mutating func pause() { begun = nil }

    /// Rows that the parts of the next wave shall have: fewer where pieces have kept streams waiting.
    mutating func partRows(most: Int, besideStreams: Bool) -> Int {
        guard besideStreams else { return most }
        let before = min(partRows, most)
        partRows = before
        if piece > 2 * wantedPiece, before > Self.leastPartRows {
            partRows = max(Self.leastPartRows, before / 2)
            piece /= 2
        } else if piece < wantedPiece {
            partRows = min(most, before * 2)
        }
        return partRows
    }

    func isWavesTurn(besideStreams: Bool) -> Bool { !besideStreams || credit >= piece }
}
