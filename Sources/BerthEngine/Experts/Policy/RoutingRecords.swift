// What is remembered of requests that do not run now.
//
// A request that was preempted computes the same rows again, and batch invariance makes them choose the very experts that they chose
// before: what it used is what it will use. Of a newcomer nothing is known but its adapter and the beginning of its prompt; others with the same
// say what it will want. Both are kept small: a bit per expert and request, and a bounded number of profiles.

import BerthCore

/// What newcomers are recognised by.
struct RoutingProfileKey: Hashable {
    var adapter: AdapterName?
    /// The beginning of the prompt; nil stands for all requests of the adapter.
    var prefix: [Int32]?

    /// Tokens of a prompt that make a profile of its own: an instruction that many prompts begin with.
    static let prefixTokens = 32

    /// From the closest to the most general.
    static func keys(adapter: AdapterName?, prompt: [Int32]) -> [RoutingProfileKey] {
        let general = RoutingProfileKey(adapter: adapter, prefix: nil)
        guard prompt.count > prefixTokens else { return [general] }
        return [RoutingProfileKey(adapter: adapter, prefix: Array(prompt.prefix(prefixTokens))), general]
    }
}

final class RoutingRecords {
    private struct Profile {
        var counts: [Float]
        var rows: Float = 0
        var lastUse = 0
    }

    private let shape: ExpertShape
    /// By slot: which experts the request's rows have chosen, a bit each, and its profiles.
    private var used: [Int: [UInt64]] = [:]
    private var keys: [Int: [RoutingProfileKey]] = [:]
    private var profiles: [RoutingProfileKey: Profile] = [:]
    private var clock = 0
    /// Rows after which a profile's older ones weigh half.
    private static let profileRows: Float = 1024

    init(shape: ExpertShape) { self.shape = shape }

    func begin(_ slot: Int, _ keys: [RoutingProfileKey]) {
        self.keys[slot] = keys
        used[slot] = Array(repeating: 0, count: (shape.count + 63) / 64)
    }

    func end(_ slot: Int) {
        keys[slot] = nil
        used[slot] = nil
    }

    func note(_ use: LayerUse) {
        let first = shape.range(of: use.layer).lowerBound
        for (number, request) in use.requests.enumerated() {
            guard let keys = keys[request.slot] else { continue }
            clock += 1
            use.withCounts(ofRequest: number) { counts in
                for expert in use.experts where counts[expert] > 0 { used[request.slot]![(first + expert) / 64] |= 1 << UInt64((first + expert) % 64) }
                for key in keys { note(use, counts, Float(request.rows), in: key, first) }
            }
        }
    }

    private func note(_ use: LayerUse, _ counts: UnsafeBufferPointer<Float>, _ rows: Float, in key: RoutingProfileKey, _ first: Int) {
        if profiles[key] == nil, profiles.count >= Limits.routingProfiles, let oldest = profiles.min(by: { $0.value.lastUse < $1.value.lastUse })?.key {
            profiles[oldest] = nil
        }
        for expert in use.experts where counts[expert] > 0 {
            profiles[key, default: Profile(counts: Array(repeating: 0, count: shape.count))].counts[first + expert] += counts[expert]
        }
        guard profiles[key] != nil else { return }
        profiles[key]!.lastUse = clock
        profiles[key]!.rows += rows / Float(shape.layers)
        guard profiles[key]!.rows > 2 * Self.profileRows else { return }
        profiles[key]!.rows /= 2
        for index in profiles[key]!.counts.indices { profiles[key]!.counts[index] /= 2 }
    }

    /// Dense numbers of what the request has used; nil where nothing is known of it.
    func used(by slot: Int) -> [Int]? {
        guard let bits = used[slot] else { return nil }
        let experts = (0..<shape.count).filter { bits[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
        return experts.isEmpty ? nil : experts
    }

    /// Which part of what the request used is in memory; nil where nothing is known of it.
    func overlap(of slot: Int, with isResident: [Bool]) -> Double? {
        guard let experts = used(by: slot) else { return nil }
        return Double(experts.count { isResident[$0] }) / Double(experts.count)
    }

    /// The same of what others with the closest known key used, each expert as often as it was.
    func overlap(of keys: [RoutingProfileKey], with isResident: [Bool]) -> Double? {
        guard let profile = keys.lazy.compactMap({ self.profiles[$0] }).first else { return nil }
        return Self.overlap(of: profile.counts, with: isResident)
    }

    static func overlap(of counts: [Float], with isResident: [Bool]) -> Double? {
        var (resident, all) = (Float(0), Float(0))
        for index in counts.indices {
            all += counts[index]
            if isResident[index] { resident += counts[index] }
        }
        return all > 0 ? Double(resident / all) : nil
    }
}
