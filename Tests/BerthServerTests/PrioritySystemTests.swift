// Priorities over a socket: the daemon as it is shipped, with the real model.

import BerthClient
import BerthCore
import Testing

@testable import BerthServer

@Suite(.serialized) struct PrioritySystemTests {
    /// Whose answers have come, in order.
    private actor Answers {
        private(set) var names: [String] = []
        func append(_ name: String) { names.append(name) }
        var count: Int { names.count }
        func count(of name: String) -> Int { names.count { $0 == name } }
    }

    /// One place, and two tenants with a queue each: a tenant's urgent requests overtake what it has sent before; the other tenant's are served in turn with them, as
    /// if all were alike.
    @Test func urgentRequestsOvertakeTheirOwnQueueOnly() async throws {
        let keys = ["acme", "beta", "gamma"].map { ($0, APIKey.random()) }
        let daemon = try await RealDaemon(adapters: nil) {
            $0.maxRunning = 1
            $0.tenants = tenants(keys.map { "[tenant \($0)]\nkey-sha256 = \($1.digest)\n" }.joined())
        }
        defer { daemon.stop() }
        let clients = keys.map { BerthClient(socketPath: daemon.client.socketPath, apiKey: $1.text) }
        /// The order of the answers, and how many patient ones there were when the urgent requests stood in the queue; nil where the machine was too busy with
        /// other things to send them all before the first had come to its end.
        func play() async throws -> (order: [String], answered: Int)? {
            let answers = Answers()
            func ask(_ client: BerthClient, _ name: String, priority: Int? = nil, tokens: Int = 24) async throws {
                var options = SamplingOptions(maxTokens: tokens, temperature: 0)
                (options.ignoresEndTokens, options.priority) = (true, priority)
                _ = try await client.complete(CompletionRequest(prompt: "17 =", options: options))
                await answers.append(name)
            }
            func shown() async throws -> [JSON] { try await daemon.admin.requests()["requests"]?.array ?? [] }
            func eventually(_ condition: ([JSON]) -> Bool) async throws -> Bool {
                while await answers.count < 31 {
                    let queue = try await shown()
                    if condition(queue) { return true }
                    if await answers.count > 0, queue.isEmpty { return false }
                    try await Task.sleep(nanoseconds: 1_000_000)
                }
                return false
            }
            let answered = try await withThrowingTaskGroup(of: Void.self) { group -> Int? in
                // A third tenant has the place until the queue is there.
                group.addTask { try await ask(clients[2], "first", tokens: 500) }
                guard try await eventually({ $0.contains { $0["state"] == "decode" } }) else { return nil }
                for index in 0..<12 {
                    group.addTask { try await ask(clients[0], "patient", priority: index % 2 == 0 ? nil : 1) }
                    group.addTask { try await ask(clients[1], "other") }
                }
                let isQueue = try await eventually { $0.count { $0["state"] == "waiting" } >= 20 }
                for _ in 0..<6 { group.addTask { try await ask(clients[0], "urgent", priority: -1) } }
                let isUrgent = try await eventually { $0.count { $0["priority"] == -1 } >= 5 }
                let answered = await answers.count(of: "patient")
                try await group.waitForAll()
                return isQueue && isUrgent ? answered : nil
            }
            guard let answered else { return nil }
            return (await answers.names, answered)
        }
        var played: (order: [String], answered: Int)?
        for _ in 0..<20 where played == nil { played = try await play() }
        let (order, answered) = try #require(played, "the queue never stood")
        #expect(order.count == 31)
        let beforeUrgent = order[..<order.lastIndex(of: "urgent")!].count { $0 == "patient" }
        #expect(beforeUrgent <= answered + 1, "\(order)")
        // As long as both have something to do, neither is ahead by more than a turn and what it began with.
        let turns = order.filter { $0 != "first" }.prefix(24)
        for end in turns.indices {
            let others = turns[...end].count { $0 == "other" }
            #expect(abs(2 * others - (end + 1)) <= 3, "\(order)")
        }
    }

    /// The tool's requests have the priority that they are given, a negative one, too; what is none is refused with the daemon's words.
    @Test func theToolSaysAPriority() throws {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        func run(_ arguments: [String]) throws -> (code: Int32, text: String) {
            try Programs.berth(["run", "tiny", "a", "--max-tokens", "2", "--socket", daemon.socket] + arguments)
        }
        for (arguments, priority) in [([], 0), (["--priority", "-5"], -5), (["--priority=7", "--raw"], 7)] {
            let answer = try run(arguments)
            #expect(answer.code == 0 && daemon.generation.submitted.last?.priority == priority, "\(arguments): \(answer.text)")
        }
        let before = daemon.generation.submitted.count, refused = try run(["--priority", "1001"])
        #expect(refused.code != 0 && refused.text.contains("between -1000 and 1000") && daemon.generation.submitted.count == before, "\(refused.text)")
    }

    @Test func whatIsNoPriorityIsRefusedByName() async throws {
        let daemon = try await RealDaemon(adapters: nil)
        defer { daemon.stop() }
        func refusal(_ priority: Int) async -> BerthClientError.Refusal? {
            var options = SamplingOptions(maxTokens: 1)
            options.priority = priority
            do { _ = try await daemon.client.chat(ChatRequest(messages: [.user("1")], options: options)) } catch BerthClientError.refused(let refusal) { return refusal } catch {}
            return nil
        }
        for priority in [-1001, 1001] {
            let refusal = await refusal(priority)
            #expect(refusal?.status == 400 && refusal?.parameter == "priority" && refusal?.message.contains("between -1000 and 1000") == true, "\(refusal as Any)")
        }
    }
}
