// The most pages that the running set will want, foreseen: the peak of a sum in which every request grows until it ends and gives its pages back.
//
// After the Past-Future scheduler (arXiv 2507.10150, section 4): requests advance a token each at the same pace, so the sum can only peak when one is about to end. A
// request is let in where the peak with it fits, instead of where every request could grow to its bound (few run), or where it fits now (many are thrown out again).

/// Who is let in beside those who run.
public enum AdmissionRule: String, Sendable, CaseIterable {
    /// Where all could grow as long as they may.
    case worstCase
    /// Where it fits now, with a page to spare for each that runs.
    case optimistic
    /// Where the foreseen peak fits.
    case predicted
}

/// Pages and tokens; a pure value.
struct MemoryForecast {
    /// One request of the running set.
    struct Holder {
        /// Pages that it holds, and tokens that they still have room for.
        var pages: Int
        var room: Int
        /// Tokens until its end.
        var remaining: Int
    }

    let blockTokens: Int
    private var holders: [Holder] = []
    /// Requests of which nothing is known: a page for each.
    private(set) var unknown = 0

    init(blockTokens: Int) { self.blockTokens = blockTokens }

    mutating func add(_ holder: Holder?) {
        if let holder { holders.append(holder) } else { unknown += 1 }
    }

    /// Pages that will be wanted beside those that are held now, at the worst moment; `candidate` is counted as one that holds its pages.
    /// - Complexity: quadratic in the running set.
    func peak(with candidate: Holder?) -> Int {
        let all = candidate.map { holders + [$0] } ?? holders
        var peak = 0
        for last in all {
            var pages = 0
            for holder in all {
                if holder.remaining < last.remaining {
                    pages -= holder.pages
                } else {
                    pages += (max(0, last.remaining - holder.room) + blockTokens - 1) / blockTokens
                }
            }
            peak = max(peak, pages)
        }
        return peak + unknown
    }
}
