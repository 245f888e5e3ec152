// The most pages that the running set will want, foreseen: the peak of a sum in which every request grows until it ends and gives its pages back.
//
// After the Past-Future scheduler (arXiv 2507.10150, section 4): requests advance a token each at the same pace, so the sum can only peak when one is about to end. A
// request is let in where the peak with it fits, instead of where every request could grow to its bound (few run), or where it fits now (many are thrown out again).
// Lengths are drawn a few times (`OutputLengths`), and the largest peak counts: with few requests the sum strays far from its mean.

/// Who is let in beside those who run.
public enum AdmissionRule: String, Sendable, CaseIterable {
    /// Where all could grow as long as they may.
    case worstCase
    /// Where it fits now.
    case optimistic
    /// Where it fits now, with a page to spare for each that runs.
    case pageToSpare
    /// Where the foreseen peak fits; a page to spare for each of which nothing is known.
    case predicted
}

/// Pages and tokens; a pure value.
struct MemoryForecast {
    /// One request of the running set.
    struct Holder {
        /// Pages that it holds, and tokens that they still have room for.
        var pages: Int
        var room: Int
        /// Tokens until its end, in every draw.
        var remaining: OutputLengths.Draws
    }

    let blockTokens: Int
    private var holders: [Holder] = []
    /// Pages that all want who run, without what they give back.
    private var growth = 0
    /// Requests of which nothing is known: a page for each.
    private(set) var unknown = 0

    init(blockTokens: Int) { self.blockTokens = blockTokens }

    mutating func add(_ holder: Holder?) {
        if let holder {
            holders.append(holder)
            growth += mostGrowth(of: holder)
        } else {
            unknown += 1
        }
    }

    private func mostGrowth(of holder: Holder) -> Int { (max(0, Int(holder.remaining.max()) - holder.room) + blockTokens - 1) / blockTokens }

    /// Pages that will be wanted beside those that are held now, at the worst moment; `candidate` is counted as one that holds its pages.
    /// - Parameter room: where all that could be wanted is less, that is the answer: it is as good.
    /// - Complexity: quadratic in the running set, constant where there is room.
    func peak(with candidate: Holder?, room: Int = 0) -> Int {
        let most = unknown + growth + (candidate.map { mostGrowth(of: $0) } ?? 0)
        if most <= room { return most }
        let all = candidate.map { holders + [$0] } ?? holders
        let perPage = 1 / Float(blockTokens)
        var peak = OutputLengths.Draws()
        for last in all {
            var pages = OutputLengths.Draws()
            for holder in all {
                let grown = ((last.remaining - Float(holder.room)) * perPage).rounded(.up)
                let growth = grown.replacing(with: 0, where: grown .< 0)
                pages += growth.replacing(with: Float(-holder.pages), where: holder.remaining .< last.remaining)
            }
            peak.replace(with: pages, where: pages .> peak)
        }
        return Int(peak.max()) + unknown
    }
}
