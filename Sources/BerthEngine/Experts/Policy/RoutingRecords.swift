// What is remembered of requests that do not run now.
//
// A request that was preempted computes the same rows again, and batch invariance makes them choose the very experts that they chose
// before: what it used is what it will use. Of a newcomer nothing is known but its adapter and the beginning of its prompt; others with the same
// say what it will want. Both are kept small: a bit per expert and request, and a bounded number of profiles.

import BerthCore

/// What newcomers are recognised by.
struct RoutingProfileKey: Hashable {
    var adapter: AdapterName?
    /// The beginning of the prompt, and whose it is: what a tenant sends tells nobody else anything. Nil stands for all requests of the adapter.
    var prefix: [Int32]?
    var tenant: TenantName?

    /// Tokens of a prompt that make a profile of its own: an instruction that many prompts begin with.
    static let prefixTokens = 32

    /// From the closest to the most general.
    static func keys(adapter: AdapterName?, tenant: TenantName, prompt: [Int32]) -> [RoutingProfileKey] {
        let general = RoutingProfileKey(adapter: adapter, prefix: nil)
        guard prompt.count > prefixTokens else { return [general] }
        return [RoutingProfileKey(adapter: adapter, prefix: Array(prompt.prefix(prefixTokens)), tenant: tenant), general]
    }
}

final class RoutingRecords {
    /// How often requests of a key chose each expert.
    private final class Profile {
        var counts: [Float]
        private var choices: Float = 0
        var lastUse = 0

        init(shape: ExpertShape) { counts = Array(repeating: 0, count: shape.count) }

        func count(_ times: Float, of index: Int) {
            counts[index] += times
            choices += times
        }

        /// Old choices give way to new ones.
        func fade(beyond most: Float) {
            guard choices > most else { return }
            for index in counts.indices { counts[index] /= 2 }
            choices /= 2
        }
    }

    /// A request from its first row to its end.
    private final class Record {
        /// Which experts its rows have chosen, a bit each.
        var used: [UInt64]
        let profiles: [Profile]

        init(_ profiles: [Profile], shape: ExpertShape) {
            self.profiles = profiles
            used = Array(repeating: 0, count: (shape.count + 63) / 64)
        }
    }

    private let shape: ExpertShape
    /// By slot.
    private var records: [Record?] = []
    private var profiles: [RoutingProfileKey: Profile] = [:]
    private var clock = 0
    /// Choices of each layer after which a profile's count half.
    private static let choicesPerLayer: Float = 8192

    init(shape: ExpertShape) { self.shape = shape }

    func begin(_ slot: Int, _ keys: [RoutingProfileKey]) {
        if slot >= records.count { records += Array(repeating: nil, count: slot + 1 - records.count) }
        records[slot] = Record(keys.map(profile), shape: shape)
    }

    func end(_ slot: Int) { if slot < records.count { records[slot] = nil } }

    private func record(_ slot: Int) -> Record? { slot < records.count ? records[slot] : nil }

    /// The key's profile, a new one where it has none: the one that was longest without a newcomer goes for it.
    private func profile(_ key: RoutingProfileKey) -> Profile {
        clock += 1
        if let known = profiles[key] {
            known.lastUse = clock
            return known
        }
        if profiles.count >= Limits.routingProfiles, let oldest = profiles.min(by: { $0.value.lastUse < $1.value.lastUse }) { profiles[oldest.key] = nil }
        let profile = Profile(shape: shape)
        profile.lastUse = clock
        profiles[key] = profile
        return profile
    }

    func note(_ use: LayerUse) {
        let first = shape.range(of: use.layer).lowerBound
        for (number, request) in use.requests.enumerated() {
            guard let record = record(request.slot) else { continue }
            use.withCounts(ofRequest: number) { counts in
                for expert in use.experts where counts[expert] > 0 {
                    let index = first + expert
                    record.used[index / 64] |= 1 << UInt64(index % 64)
                    for profile in record.profiles { profile.count(counts[expert], of: index) }
                }
            }
            for profile in record.profiles { profile.fade(beyond: Self.choicesPerLayer * Float(shape.layers)) }
        }
    }

    /// Dense numbers of what the request has used; nil where nothing is known of it.
    func used(by slot: Int) -> [Int]? {
        guard let bits = record(slot)?.used else { return nil }
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
        keys.lazy.compactMap { key in self.profiles[key].flatMap { Self.overlap(of: $0.counts, with: isResident) } }.first
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
