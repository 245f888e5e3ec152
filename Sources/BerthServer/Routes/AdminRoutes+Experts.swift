// `GET /experts`: what paging experts costs and brings.

import BerthCore
import BerthEngine
import BerthHTTP

extension Server {
    func showExperts(_ exchange: Exchange) {
        showStatus(exchange) { status in
            status.experts?.json ?? ["paged": false, "summary": "All weights are in memory."]
        }
    }
}

extension ExpertStatus {
    var json: JSON {
        let guesses: JSON = [
            "begun": JSON(account.guesses), "in_time": JSON(account.usefulGuesses), "late": JSON(account.lateGuesses), "wrong": JSON(account.wrongGuesses),
            "evicted_unused": JSON(account.wastedGuesses), "taken_back": JSON(account.cancelledGuesses), "accuracy": Self.number(guessAccuracy),
        ]
        let perLayer = layers.map { layer -> JSON in
            ["layer": JSON(layer.layer), "resident": JSON(layer.resident), "hits": JSON(layer.hits), "uses": JSON(layer.uses),
                "srp": Self.number(layer.srp), "sch": Self.number(layer.sch)]
        }
        return [
            "paged": true, "experts": JSON(count), "expert_bytes": JSON(expertBytes), "resident": JSON(resident), "capacity": JSON(capacity),
            "hit_rate": Self.number(hitRate), "uses": JSON(uses), "hits": JSON(account.hits), "evictions": JSON(account.evictions),
            "tokens": JSON(account.rows), "bytes_read": JSON(account.bytesRead), "bytes_per_token": Self.number(bytesPerToken),
            "read_bytes_per_second": Self.number(reader.speed.map { $0 * 1e9 }), "waited_seconds": .number(Double(reader.waitedNanoseconds) / 1e9),
            "failed_reads": JSON(account.failedReads), "retried_reads": JSON(reader.retries), "lost_experts": JSON(account.lostExperts),
            "warm_reads": JSON(account.warmReads), "prefetch": .bool(prefetches), "guesses": guesses, "policy": .string(policy),
            "trials": .array(trials.map { ["policy": .string($0.policy), "hit_rate": .number($0.hitRate)] }), "layers": .array(perLayer),
            "curve": .array(curve.map { ["share": .number($0.share), "hit_rate": Self.number($0.hitRate)] }),
            "queue_reads": ["begun": JSON(account.queueReads), "in_time": JSON(account.usefulQueueReads)],
            "resident_tokens_per_second": Self.number(residentTokensPerSecond), "summary": .string(advice.sentence),
        ]
    }

    private static func number(_ value: Double?) -> JSON { value.map { .number(($0 * 1e4).rounded() / 1e4) } ?? .null }
}
