// A promise that a run has seen broken.

/// One property, and one sentence that says how.
public struct Violation: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Property: String, Sendable, CaseIterable {
        /// Every request ends, once.
        case everyRequestEnds
        /// No token is lost, repeated, or another than the request alone would have had.
        case tokensAreTheReference
        /// A request that fails has a cause in what went wrong around it.
        case failuresHaveCauses
        /// Nothing is held when nobody is left.
        case nothingIsLeaked
        /// Of the streams that run the oldest keeps its pages, so that one always comes to its end.
        case theOldestGoesOn
        /// Of a tenant's streams the less urgent gives up its pages first, of those as urgent the younger.
        case theYoungestGivesWay
        /// Nothing is leased beyond the pool's limit but for reads that were under way when it fell.
        case theLimitHolds
        /// What is withheld under pressure is left by whatever is idle, and disturbs nobody.
        case pressureTakesWhatIsIdle
        /// An adapter that is pinned and in memory stays there.
        case thePinnedStay
        /// Newcomers take one place at most beside those that there are, and their own steps a small part of the others' time.
        case newcomersTakeLittle
        /// No tenant has more running than its own bound says.
        case boundsAreKept
        /// Every row that a step begins is used, as a step that is left goes on, and none is computed twice but for requests that gave up their pages.
        case noRowIsComputedInVain
        /// Nobody waits while others are served without end.
        case nobodyStarves
        /// A tenant's urgent requests go before its others, and one of these goes by age for so many.
        case prioritiesAreKept
        /// Tenants that have work get their shares.
        case tenantsAreServedFairly
    }

    public let property: Property
    public let description: String

    init(_ property: Property, _ description: String) {
        self.property = property
        self.description = "\(property.rawValue): \(description)"
    }
}
