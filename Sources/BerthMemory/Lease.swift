// The right to use some pages of the pool.
//
// A lease is a unique value: it cannot be copied, so there is always exactly one place in the program that is responsible
// for its pages, and giving it back (`Pool.release`) consumes it, so that a double release does not compile. It is a number
// into the pool's lease table and nothing more; everything about its pages is asked of the pool.

/// Pages held for one purpose. Made by `Pool.reserve`, ended by `Pool.release`; dropping one without releasing it is a bug, and traps.
public struct Lease: ~Copyable, Sendable {
    let slot: Int32

    init(slot: Int) { self.slot = Int32(slot) }

    deinit { precondition(slot < 0, "a lease (\(slot)) was dropped instead of being released to its pool") }

    /// Ends the value without a trap; only the pool does this.
    consuming func dissolve() -> Int {
        let slot = Int(slot)
        discard self
        return slot
    }
}
