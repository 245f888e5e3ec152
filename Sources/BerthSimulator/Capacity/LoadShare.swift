// How machines share a load: who of them is asked for which adapter.
//
// In turn, every machine is asked for every adapter. By affinity, adapters stand in a ring in the order of a hash and every machine takes an arc of it that
// carries the same load, so that an adapter is asked for on one machine, on two where it lies at the end of an arc, and on several where it is worth more than a machine: what
// consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018) comes to in the long run.

/// What sends requests to machines.
public enum RequestRouter: String, Sendable, CaseIterable {
    case turn
    case affinity
}

/// One machine's part.
public struct LoadShare: Sendable, Equatable {
    /// How often each of the adapters that it is asked for is asked for, in proportion; empty where there are none.
    public var popularity: [Double]

    public static func shares(of popularity: [Double], machines: Int, _ router: RequestRouter) -> [LoadShare] {
        guard router == .affinity, !popularity.isEmpty, machines > 1 else { return Array(repeating: LoadShare(popularity: popularity), count: machines) }
        var shares = Array(repeating: LoadShare(popularity: []), count: machines)
        let arc = popularity.reduce(0, +) / Double(machines)
        var machine = 0, left = arc
        for adapter in popularity.indices.sorted(by: { mix(UInt64($0)) < mix(UInt64($1)) }) {
            var load = popularity[adapter]
            while load > left, machine < machines - 1 {
                if left > 0 { shares[machine].popularity.append(left) }
                load -= left
                (machine, left) = (machine + 1, arc)
            }
            if load > 0 { shares[machine].popularity.append(load) }
            left -= load
        }
        return shares
    }

    /// The part of the load that goes to the so many adapters that are asked for most.
    public func load(ofMost count: Int) -> Double {
        let sum = popularity.reduce(0, +)
        return sum > 0 ? popularity.sorted(by: >).prefix(count).reduce(0, +) / sum : 0
    }
}
