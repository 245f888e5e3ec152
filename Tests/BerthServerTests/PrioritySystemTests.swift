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
        let answers = Answers()
        func ask(_ client: BerthClient, _ name: String, priority: Int? = nil, tokens: Int = 24) async throws {
            var options = SamplingOptions(maxTokens: tokens, temperature: 0)
            (options.ignoresEndTokens, options.priority) = (true, priority)
            _ = try await client.complete(CompletionRequest(prompt: "17 =", options: options))
            await answers.append(name)
        }
        func shown() async throws -> [JSON] { try await daemon.admin.requests()["requests"]?.array ?? [] }
        func eventually(_ condition: ([JSON]) -> Bool) async throws {
            for _ in 0..<3000 {
                if condition(try await shown()) { return }
                try await Task.sleep(nanoseconds: 1_000_000)
            }
            Issue.record("the queue is not what it should be: \(try await shown())")
        }
        let answered = try await withThrowingTaskGroup(of: Void.self) { group in
            // A third tenant has the place until the queue is there.
            group.addTask { try await ask(clients[2], "first", tokens: 500) }
            try await eventually { $0.contains { $0["state"] == "decode" } }
            for index in 0..<12 {
                group.addTask { try await ask(clients[0], "patient", priority: index % 2 == 0 ? nil : 1) }
                group.addTask { try await ask(clients[1], "other") }
            }
            try await eventually { $0.count { $0["state"] == "waiting" } >= 20 }
            for _ in 0..<6 { group.addTask { try await ask(clients[0], "urgent", priority: -1) } }
            try await eventually { $0.count { $0["priority"] == -1 } >= 5 }
            let answered = await answers.count(of: "patient")
            try await group.waitForAll()
            return answered
        }
        let order = await answers.names
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
