// How `--memory` is divided, and when experts are paged.

import BerthCore
import BerthMemory
import BerthModels
import BerthStore
import Testing

@testable import BerthServer

@Suite struct MemoryBudgetTests {
    private static let demo = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/Deploy/demo"

    private func budget(_ total: String, experts: String? = nil, kv: String? = nil, maxRows: Int? = nil) throws -> MemoryBudget {
        let configuration = try ModelConfiguration(Checkpoint(directory: Self.demo))
        return try MemoryBudget(
            total: ByteSize(total)!,
            MemoryBudget.Needs(
                vocabulary: configuration.vocabularySize, tokenizerTokens: 512, threads: 2, maxRows: maxRows,
                amounts: .init(experts: experts.flatMap { PoolAmount($0) }, kv: kv.flatMap { PoolAmount($0) })
            ) { Model.memoryPlan(configuration: configuration, format: .bf16, maxRows: $0, pagesExperts: $1) })
    }

    @Test func aModelThatFitsIsHeldWhole() throws {
        let budget = try budget("512M")
        #expect(!budget.pagesExperts && budget.maxRows == 512 && budget.warnings.isEmpty && budget.shares.isEmpty)
    }

    @Test func boundedExpertsArePaged() throws {
        let half = try budget("512M", experts: "50%")
        #expect(half.pagesExperts && half.warnings.isEmpty)
        let share = try #require(half.shares[.expert])
        #expect(share.ceilingPages > share.floorPages && share.floorPages > 0)
        #expect(half.weights < (try budget("512M")).weights)
        // All of them is no bound.
        #expect(try !budget("512M", experts: "100%").pagesExperts)
        // Too few is raised to what a step needs, and said.
        let least = try budget("512M", experts: "1%")
        #expect(least.shares[.expert]?.ceilingPages == least.shares[.expert]?.floorPages)
        #expect(least.warnings.count == 1 && least.warnings[0].contains("--expert-memory 1.0%"))
        #expect(try budget("512M", kv: "25%").shares[.kv]!.ceilingPages == budget("512M").pool / budget("512M").pageBytes / 4)
    }

    @Test func lessThanTheLeastIsRefusedWithTheLeast() throws {
        let error = #expect(throws: AssemblyError.self) { try budget("64M", maxRows: 512) }
        let text = try #require(error?.description)
        let least = try #require(text.split(separator: " ").last.map(String.init))
        #expect(text.contains("the least is --memory"))
        _ = try budget(least, maxRows: 512)
    }

    /// A moved total keeps what is fixed; shares in per cent follow the pool, and the least is the same.
    @Test func whatMovesIsThePool() throws {
        let budget = try budget("512M", kv: "25%")
        let moved = try budget.moved(to: ByteSize("384M")!)
        #expect(moved.fixed == budget.fixed && moved.least == budget.least && moved.pageBytes == budget.pageBytes)
        #expect(budget.pool - moved.pool == 128 << 20)
        #expect(moved.shares[.kv]?.ceilingPages == moved.pool / moved.pageBytes / 4)
        #expect(try budget.moved(to: budget.least).total == budget.least.bytes)
        #expect(throws: AssemblyError.self) { try budget.moved(to: ByteSize(bytes: budget.least.bytes - (1 << 20))) }
        #expect(budget.lines[0].contains("tokenizer") && budget.lines[0].contains("the least is \(budget.least)"))
    }

    /// At most 3 % of an expert's pages is padding, where pages of the system's size allow it at all.
    @Test func pagesFitExperts() throws {
        for (expert, block) in [(1_622_016, 327_680), (6_291_456, 2_097_152), (4_718_592, 1_572_864), (2_490_368, 1_572_864), (98_304, 65_536)] {
            let bytes = MemoryPlan.pageBytes(block: block, expert: expert)
            let taken = (expert + bytes - 1) / bytes * bytes
            #expect(bytes % 4096 == 0 && bytes >= block && Double(taken - expert) <= 0.03 * Double(taken), "\(expert) in pages of \(bytes)")
        }
        // An expert smaller than a block takes a page.
        #expect(MemoryPlan.pageBytes(block: 65_536, expert: 8192) == 65_536)
    }

    @Test func amounts() {
        #expect(PoolAmount("25%")?.bytes(of: 1000) == 250)
        #expect(PoolAmount("2G")?.bytes(of: 1) == 2 << 30)
        for text in ["", "%", "0%", "101%", "-1%", "nan%", "0", "x"] { #expect(PoolAmount(text) == nil, "\(text)") }
    }
}
