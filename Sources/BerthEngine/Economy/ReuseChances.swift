// How likely it is that an object which nobody uses is wanted again: what has become of those that were left before it.
//
// The chance falls with the time since the last use: whoever was gone for n steps will, by what is known, be gone for as many more. What else is known is how
// often an object was reused while it was there, so those that were reused about as often are one kind, and for each kind it is measured how often
// one is wanted: the rate is r / (1 + n) per step, and r is estimated as the number that were wanted over the sum of ln n (occurrences over exposure, as for
// survival times with censoring: that an object had to leave says nothing of what would have become of it, and a kind that leaves early is not thought
// the worse of for that). Only what happens at ages at which objects do leave counts. How soon those are wanted that nobody thinks of letting go is of no use here:
// where what is popular changes, what was used most a while ago is not what will be.
//
// Nor is everything that was left waited for: a part of each kind is finished with, and nobody says so. The longer one that used to be wanted soon has not been, the
// likelier it is one of those (customers who have silently gone: Schmittlein, Morrison and Colombo 1987; Fader, Hardie and Lee 2005). So a rate that was earned
// before everything changed does not hold room for what nobody will ask for: its chance falls faster than others' once it is overdue. How large that part
// is of a kind is learned, too, by the same reckoning: who had to leave after so long counts as finished as far as that is likely. Where
// nothing is known yet it is a fifth, and all kinds are alike, which leaves recency and costs to decide.

import Glibc

/// A value of a class of objects. Engine thread only.
struct ReuseChances {
    /// Up to three reuses are told apart, then octaves of them.
    private static let kinds = 8
    /// Of the age at which objects leave, on average: younger ones are not looked at.
    private static let youngest = 0.25
    private static let mostExposure = 2000.0

    /// What has become of those of one kind. Numbers are decayed, and begin with what a moment's experience would be.
    private struct Kind {
        /// How many were wanted, and how long they could have been.
        var wanted = 1.0
        var exposure = 4.0
        /// Of those that were left, who was waited for and who was finished with, as far as can be told.
        var awaited = 40.0
        var finished = 10.0

        var rate: Double { wanted / exposure }

        /// That one is waited for still which could have been wanted for so long and was not.
        func isAwaited(after exposure: Double) -> Double {
            let silent = awaited * exp(-rate * exposure)
            return silent / (silent + finished)
        }

        /// One was wanted after so long, or had to leave.
        mutating func learn(after exposure: Double, wasWanted: Bool) {
            if self.exposure >= ReuseChances.mostExposure {
                (wanted, self.exposure, awaited, finished) = (wanted / 2, self.exposure / 2, awaited / 2, finished / 2)
            }
            let isAwaited = wasWanted ? 1 : isAwaited(after: exposure)
            awaited += isAwaited
            finished += 1 - isAwaited
            // Who was finished with could not have been wanted.
            self.exposure += isAwaited * exposure
            if wasWanted { wanted += 1 }
        }
    }

    private var known = Array(repeating: Kind(), count: Self.kinds)
    /// At which objects had to leave of late; 0 before the first.
    private var leavingAge = 0.0

    /// Objects of a kind are alike.
    static func kind(reuses: Int) -> Int { reuses < 4 ? reuses : min(kinds - 1, Int.bitWidth - reuses.leadingZeroBitCount + 1) }

    private static func age(idleSteps: Int) -> Double { Double(1 + max(0, idleSteps)) }

    /// How much of its age counts, as a logarithm; 0 where it is too young.
    private func exposure(age: Double) -> Double { max(0, log(age / max(1, leavingAge * Self.youngest))) }

    /// An object of so many reuses that was left so many steps ago is wanted again, or has to leave.
    mutating func learn(reuses: Int, idleSteps: Int, wasWanted: Bool) {
        let age = Self.age(idleSteps: idleSteps)
        if !wasWanted { leavingAge = leavingAge == 0 ? age : 0.99 * leavingAge + 0.01 * age }
        let exposure = exposure(age: age)
        if exposure > 0 { known[Self.kind(reuses: reuses)].learn(after: exposure, wasWanted: wasWanted) }
    }

    /// That the next step wants an object of a kind that was left so many steps ago.
    func chance(kind: Int, idleSteps: Int) -> Double {
        let age = Self.age(idleSteps: idleSteps)
        return min(1, known[kind].rate / age * known[kind].isAwaited(after: exposure(age: age)))
    }
}
