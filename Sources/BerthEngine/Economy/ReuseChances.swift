// How likely it is that an object which nobody uses is wanted again: what has become of those that were left before it.
//
// The chance falls with the time since the last use: whoever was gone for n steps will, by what is known, be gone for as many more. What else is known is how
// often an object was reused while it was there, so those that were reused about as often are one kind, and for each kind it is measured how often
// one is wanted: the rate is r / (1 + n) per step, and r is estimated as the number that were wanted over the sum of ln n (occurrences over exposure, as for
// survival times with censoring: that an object had to leave says nothing of what would have become of it, and a kind that leaves early is not thought
// the worse of for that). Only what happens at ages at which objects do leave counts. How soon those are wanted that nobody thinks of letting go is of no use here:
// where what is popular changes, what was used most a while ago is not what will be.

import Glibc

/// A value of a class of objects. Engine thread only.
struct ReuseChances {
    /// Up to three reuses are told apart, then octaves of them.
    private static let kinds = 8
    /// Of the age at which objects leave, on average: younger ones are not looked at.
    private static let youngest = 0.25
    private static let mostExposure = 2000.0

    /// Of each kind: how many were wanted, and how long they could have been. Decayed. It begins with what a moment's experience would be.
    private var counts = [(wanted: Double, exposure: Double)](repeating: (1, 4), count: Self.kinds)
    /// At which objects had to leave of late; 0 before the first.
    private var leavingAge = 0.0

    /// Objects of a kind are alike.
    static func kind(reuses: Int) -> Int { reuses < 4 ? reuses : min(kinds - 1, Int.bitWidth - reuses.leadingZeroBitCount + 1) }

    /// An object that was left so many steps ago is wanted again, or has to leave.
    mutating func learn(reuses: Int, idleSteps: Int, wasWanted: Bool) {
        let age = Double(1 + max(0, idleSteps))
        if !wasWanted { leavingAge = leavingAge == 0 ? age : 0.99 * leavingAge + 0.01 * age }
        let exposure = log(age / max(1, leavingAge * Self.youngest))
        guard exposure > 0 else { return }
        let kind = Self.kind(reuses: reuses)
        if counts[kind].exposure >= Self.mostExposure { counts[kind] = (counts[kind].wanted / 2, counts[kind].exposure / 2) }
        counts[kind].exposure += exposure
        if wasWanted { counts[kind].wanted += 1 }
    }

    /// That the next step wants an object of a kind that was left so many steps ago.
    func chance(kind: Int, idleSteps: Int) -> Double { min(1, counts[kind].wanted / counts[kind].exposure / Double(1 + max(0, idleSteps))) }
}
