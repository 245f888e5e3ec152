// Buckets and queues of a tenant, with a clock that the test holds.

import BerthCore
import BerthEngine
import BerthHTTP
import Testing

@testable import BerthServer

@Suite struct TokenBucketTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func fillsEvenly() {
        var bucket = TokenBucket(tokensPerMinute: 600, now: 0)
        #expect(bucket.delay(of: 600, now: 0) == 0)
        bucket.take(600, now: 0)
        #expect(bucket.delay(of: 10, now: 0) == Self.second && bucket.delay(of: 0, now: 0) == 0)
        #expect(bucket.delay(of: 10, now: Self.second / 2) == Self.second / 2)
        #expect(bucket.delay(of: 10, now: Self.second) == 0)
        #expect(bucket.delay(of: 600, now: 3600 * Self.second) == 0 && bucket.delay(of: 600, now: 0) == 0, "a clock that goes back gives nothing and takes nothing")
        bucket.take(1, now: 3600 * Self.second)
        #expect(bucket.delay(of: 600, now: 3600 * Self.second) == Self.second / 10, "it never holds more than a minute's")
    }

    @Test func answersLeaveADebt() {
        var bucket = TokenBucket(tokensPerMinute: 60, now: 0)
        bucket.take(60 + 30, now: 0)
        #expect(bucket.delay(of: 0, now: 0) == 30 * Self.second && bucket.delay(of: 1, now: 0) == 31 * Self.second)
        #expect(bucket.delay(of: 0, now: 30 * Self.second) == 0)
    }

    @Test func aLongPromptNeedsAFullBucket() {
        var bucket = TokenBucket(tokensPerMinute: 60, now: 0)
        #expect(bucket.delay(of: 1000, now: 0) == 0)
        bucket.take(1, now: 0)
        #expect(bucket.delay(of: 1000, now: 0) == Self.second && bucket.delay(of: .max, now: 0) == Self.second)
    }

    @Test func anotherRate() {
        var bucket = TokenBucket(tokensPerMinute: 600, now: 0)
        bucket.setRate(60, now: 0)
        #expect(bucket.tokens == 60)
        bucket.take(90, now: 0)
        bucket.setRate(6000, now: 0)
        #expect(bucket.tokens == -30 && bucket.delay(of: 0, now: 0) == Self.second * 3 / 10, "what is owed stays owed")
    }

    /// Over any time nobody gets more than the rate, a full bucket, and the answer that was let in last; whoever waits as long as told is let in.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func neverMoreThanTheRate(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let rate = Int.random(in: 1...100_000, using: &random)
        var bucket = TokenBucket(tokensPerMinute: rate, now: 0)
        var (now, taken, largest) = (UInt64(0), 0, 0)
        for _ in 0..<500 {
            let (prompt, output) = (Int.random(in: 1...rate * 2, using: &random), Int.random(in: 0...rate, using: &random))
            let delay = bucket.delay(of: prompt, now: now)
            if delay > 0 {
                if Bool.random(using: &random) { #expect(bucket.delay(of: prompt, now: now + delay - 1 - delay / 1000) > 0 || delay < 1000, "seed \(seed)") }
                now += delay
                #expect(bucket.delay(of: prompt, now: now) == 0, "seed \(seed)")
            }
            bucket.take(prompt, now: now)
            bucket.take(output, now: now)
            taken += prompt + output
            largest = max(largest, prompt + output)
            #expect(Double(taken) <= Double(now) / 60e9 * Double(rate) + Double(rate + largest) + 1, "seed \(seed)")
            now += UInt64.random(in: 0...Self.second, using: &random)
        }
    }
}

@Suite struct TenantAccountTests {
    private func refusal(_ account: inout TenantAccount, _ sequences: Int, _ settings: TenantSettings, tokens: Int = 1, others: Int = 0, now: UInt64 = 0) -> String {
        do {
            try account.admit(sequences: sequences, promptTokens: tokens, settings, others: others, now: now)
            return "-"
        } catch { return "\(error.status.code) \(error.limit ?? error.code ?? "") \(error.retryAfterSeconds ?? 0)" }
    }

    @Test func theQueueHasAnEnd() {
        var settings = TenantSettings()
        settings.maxQueued = 4
        var account = TenantAccount()
        #expect(refusal(&account, 4, settings) == "-" && refusal(&account, 5, settings) == "400 max_queued_exceeded 0", "more than ever can wait is no matter of time")
        for _ in 0..<3 { account.enter(bulk: false) }
        #expect(refusal(&account, 1, settings) == "-" && refusal(&account, 2, settings) == "429 max-queued 1")
        account.preparing = 1
        #expect(refusal(&account, 1, settings) == "429 max-queued 1")
        account.begin()
        #expect(refusal(&account, 1, settings) == "-", "what has a token does not wait")
        account.enter(bulk: true)
        #expect(refusal(&account, 1, settings) == "-", "nor do lines of batches")
        #expect(account.refusals == [.maxQueued: 2])
        account.leave(bulk: true, hasBegun: false)
        account.leave(bulk: false, hasBegun: true)
        for _ in 0..<2 { account.leave(bulk: false, hasBegun: false) }
        account.preparing = 0
        #expect(account.isIdle)
    }

    @Test func nobodysQueueIsLongerThanWhatIsLeftForOthers() {
        var account = TenantAccount()
        let half = Limits.queuedRequests / 2
        for _ in 0..<half { account.enter(bulk: false) }
        #expect(refusal(&account, 1, TenantSettings()) == "429 queue-share 1")
        account.leave(bulk: false, hasBegun: false)
        #expect(refusal(&account, 1, TenantSettings()) == "-")
        #expect(refusal(&account, 1, TenantSettings(), others: 2) == "429 queue-share 1")
        var newcomer = TenantAccount()
        #expect(refusal(&newcomer, 128, TenantSettings(), others: Limits.queuedRequests - 1) == "-", "who has nothing there may always try")
    }

    @Test func tokensOfAMinute() {
        var settings = TenantSettings()
        settings.tokensPerMinute = 60
        var account = TenantAccount()
        account.setRate(60, now: 0)
        #expect(refusal(&account, 1, settings, tokens: 60) == "-")
        account.take(tokens: 90, now: 0)
        #expect(refusal(&account, 1, settings, tokens: 0) == "429 tokens-per-minute 30" && refusal(&account, 1, settings, tokens: 1) == "429 tokens-per-minute 31")
        #expect(refusal(&account, 1, settings, tokens: 1, now: 30_000_000_001) == "429 tokens-per-minute 1", "rounded up")
        #expect(!account.mayRun(promptTokens: 1, now: 0) && account.mayRun(promptTokens: 1, now: 31_000_000_000))
        account.setRate(nil, now: 0)
        #expect(refusal(&account, 1, settings, tokens: 1 << 40) == "-")
    }
}

@Suite struct TurnQueueTests {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func eachInTurn(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var queue = TurnQueue<Int, Int>()
        var model: [Int: [Int]] = [:]
        /// Who was served since each key got its first element.
        var servedSince: [Int: Set<Int>] = [:]
        for number in 0..<2000 {
            if Int.random(in: 0..<3, using: &random) > 0 {
                let key = Int.random(in: 0..<4, using: &random) * Int.random(in: 0..<3, using: &random)
                queue.add(number, of: key)
                if model[key] == nil { servedSince[key] = [] }
                model[key, default: []].append(number)
            } else if let element = queue.next() {
                let key = model.first { $0.value.contains(element) }!.key
                #expect(model[key]!.removeFirst() == element, "seed \(seed): a key's elements leave in their order")
                for other in model.keys where other != key { #expect(servedSince[other]!.insert(key).inserted, "seed \(seed): \(key) was served twice while \(other) waited") }
                servedSince[key] = []
                if model[key]!.isEmpty { model[key] = nil }
            }
            #expect(queue.isEmpty == model.isEmpty)
        }
    }
}

@Suite struct TenantPageTests {
    /// What the engine has booked for a tenant stands under its name, in the metrics and for `GET /tenants`.
    @Test func whoWasRaisedIsCounted() {
        let reports = [("acme", 3), ("beta", 0)].map { name, raised in
            var status = TenantStatus(tenant: TenantName(name)!)
            status.use.raisedRequests = raised
            return TenantReport(name: status.tenant, settings: nil, standing: TenantAccount(), status: status)
        }
        var page = PrometheusPage(label: "model_name", value: "m"), series = TenantSeries()
        page.add(reports, series: series.names(reports.map(\.name)))
        let lines = page.text.split(separator: "\n").filter { $0.hasPrefix("berth_tenant_raised_total{") }
        #expect(lines == [#"berth_tenant_raised_total{model_name="m",tenant="acme"} 3"#, #"berth_tenant_raised_total{model_name="m",tenant="beta"} 0"#])
        #expect(reports.map { $0.json["use"]?["raised"] } == [3, 0])
    }

    /// However many tenants come, the page stays small, sums are kept, and no series changes whose it is.
    @Test func theMetricsAreBounded() {
        func report(_ name: String, _ tokens: Int) -> TenantReport {
            var status = TenantStatus(tenant: TenantName(name)!)
            status.use.promptTokens = tokens
            return TenantReport(name: status.tenant, settings: nil, standing: TenantAccount(), status: status)
        }
        func lines(_ reports: [TenantReport], _ series: inout TenantSeries) -> [Substring] {
            var page = PrometheusPage(label: "model_name", value: "m")
            page.add(reports, series: series.names(reports.map(\.name)))
            return page.text.split(separator: "\n").filter { $0.hasPrefix("berth_tenant_prompt_tokens_total") }
        }
        var series = TenantSeries()
        let first = (0..<60).map { report("uid:\(1000 + $0)", 1) }
        #expect(lines(first, &series).count == 60)
        let all = (0..<300).map { report("uid:\($0)", 10) } + first
        let page = lines(all, &series)
        #expect(page.count == Limits.tenantSeries + 1 && page.contains("berth_tenant_prompt_tokens_total{model_name=\"m\",tenant=\"uid:1000\"} 1"))
        #expect(page.contains("berth_tenant_prompt_tokens_total{model_name=\"m\",tenant=\"others\"} \(10 * (300 - 40))"))
    }
}
