// Files and batches of several tenants in one store.

import BerthCore
import Testing

@testable import BerthBatches

@Suite struct BatchTenantTests {
    private static let (red, blue) = (TenantName("red")!, TenantName("blue")!)

    @discardableResult
    private func upload(_ store: BatchStore, _ text: String, of tenant: TenantName, quota: BatchQuota = BatchQuota()) throws(BatchError) -> StoredFile {
        let upload = try store.beginUpload(of: tenant, quota: quota)
        try upload.write(Array(text.utf8))
        return try store.finish(upload, name: "in", lifeSeconds: nil, now: 100)
    }

    /// What is another's is as what does not exist.
    @Test func nobodySeesAnothers() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let file = try upload(store, inputLine("a"), of: Self.red)
        let order = BatchOrder(input: file.id, endpoint: "/v1/completions")
        let batch = try store.create(order, of: Self.red, now: 100)
        try store.runToTheEnd()
        let output = try #require(store.batch(batch.id, of: Self.red).json["output_file_id"]?.string)
        for id in [file.id, output] {
            #expect(try store.file(id, of: Self.red).tenant == Self.red)
            let unknown = BatchError(.notFound, "There is no file '\(id)'.", parameter: "file_id")
            #expect(throws: unknown) { try store.file(id, of: Self.blue) }
            #expect(throws: unknown) { try store.content(id, of: Self.blue, at: 0) }
            #expect(throws: unknown) { try store.deleteFile(id, of: Self.blue) }
            #expect(throws: BatchError(.notFound, "There is no file '\(id)'.", parameter: "after")) { try store.files(of: Self.blue, after: id, limit: 1) }
        }
        #expect(throws: BatchError(.invalid, "There is no file '\(file.id)'.", parameter: "input_file_id")) { try store.create(order, of: Self.blue, now: 100) }
        let unknown = BatchError(.notFound, "There is no batch '\(batch.id)'.", parameter: "batch_id")
        #expect(throws: unknown) { try store.batch(batch.id, of: Self.blue) }
        #expect(throws: unknown) { try store.cancel(batch.id, of: Self.blue, now: 100) }
        #expect(throws: BatchError(.notFound, "There is no batch '\(batch.id)'.", parameter: "after")) { try store.batches(of: Self.blue, after: batch.id, limit: 1) }
        #expect(try store.files(of: Self.blue, limit: 10).elements.isEmpty && store.batches(of: Self.blue, limit: 10).elements.isEmpty)
        #expect(try store.files(of: Self.red, limit: 10).elements.count == 2 && store.batches(of: Self.red, limit: 10).elements.map(\.id) == [batch.id])
    }

    /// However many batches a tenant has, another's lines come at the same rate.
    @Test func tenantsShareTheClaims() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let lines = (0..<50).map { inputLine("\($0)") }.joined(separator: "\n")
        for tenant in [Self.red, Self.red, Self.red, Self.red, Self.blue] {
            _ = try store.create(BatchOrder(input: upload(store, lines, of: tenant).id, endpoint: "/v1/completions"), of: tenant, now: 100)
        }
        try store.stepAll()
        let claimed = try store.claim(lines: 40, bytes: 1 << 20)
        #expect(claimed.count == 40 && claimed.count { $0.tenant == Self.blue } == 20)
        #expect(Dictionary(grouping: claimed.filter { $0.tenant == Self.red }, by: \.batch).mapValues(\.count).values.sorted() == [5, 5, 5, 5])
        #expect(try store.claim(lines: 40, bytes: 1 << 20, exceptOf: [Self.red]).allSatisfy { $0.tenant == Self.blue })
        // What is given back is given again, what was answered meanwhile is not.
        let mine = claimed.filter { $0.tenant == Self.red }
        try store.finish(mine.prefix(3).map(BatchStore.answer), now: 101)
        store.giveBack(Array(mine.dropFirst(3)))
        let again = try store.claim(lines: 17, bytes: 1 << 20, exceptOf: [Self.blue])
        #expect(Set(again.map(\.id)).isSuperset(of: mine.dropFirst(3).prefix(2).map(\.id)) && Set(again.map(\.id)).isDisjoint(with: mine.prefix(3).map(\.id)))
        try store.runToTheEnd()
        #expect(try store.batches(of: Self.red, limit: 10).elements.allSatisfy { $0.goodLines <= 50 })
    }

    @Test func quotas() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let quota = BatchQuota(bytes: 100, lines: 2)
        let text = inputLine("a")
        #expect(text.utf8.count > 50 && text.utf8.count < 100)
        let file = try upload(store, text, of: Self.red, quota: quota)
        func problem(_ body: () throws(BatchError) -> Void) -> BatchError.Quota? {
            do throws(BatchError) { try body() } catch { return error.code == .quota ? error.quota : nil }
            return nil
        }
        #expect(problem { () throws(BatchError) in try upload(store, text, of: Self.red, quota: quota) } == .bytes)
        #expect(problem { () throws(BatchError) in try upload(store, text, of: Self.red, quota: BatchQuota(bytes: text.utf8.count)) } == .bytes, "nothing is left")
        try upload(store, text, of: Self.blue, quota: quota)
        let order = BatchOrder(input: file.id, endpoint: "/v1/completions")
        for _ in 0..<2 {
            _ = try store.create(order, of: Self.red, quota: quota, now: 100)
            try store.stepAll()
        }
        #expect(problem { () throws(BatchError) in _ = try store.create(order, of: Self.red, quota: quota, now: 100) } == .lines)
        try store.runToTheEnd()
        _ = try store.create(order, of: Self.red, quota: quota, now: 100)
    }

    /// One tenant's batches leave others at least as many.
    @Test func nobodyHasMoreThanIsLeft() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let orders = try [Self.red, Self.blue].map { tenant in (tenant, BatchOrder(input: try upload(store, inputLine("a"), of: tenant).id, endpoint: "/v1/completions")) }
        var counts: [Int] = []
        for (tenant, order) in orders {
            var count = 0
            do throws(BatchError) {
                while true {
                    _ = try store.create(order, of: tenant, now: 100)
                    count += 1
                }
            } catch { #expect(error.code == .quota && error.quota == .share) }
            counts.append(count)
        }
        #expect(counts == [Limits.openBatches / 2, Limits.openBatches / 4])
    }

    /// What was stored before there were tenants is the heir's.
    @Test func anOlderStoreIsInherited() throws {
        let folder = TemporaryFolder()
        let ids = try { () throws -> (String, String) in
            let store = try openStore(folder)
            let file = try upload(store, inputLine("a"), of: Self.red)
            let batch = try store.create(BatchOrder(input: file.id, endpoint: "/v1/completions"), of: Self.red, now: 100)
            for statement in [
                "DROP INDEX files_of_tenants", "DROP INDEX batches_of_tenants", "ALTER TABLE files DROP COLUMN tenant", "ALTER TABLE batches DROP COLUMN tenant",
                "ALTER TABLE batches DROP COLUMN cached_tokens",
                "PRAGMA user_version = 1",
            ] { try store.database.run(statement) }
            return (file.id, batch.id)
        }()
        let store = try openStore(folder, seed: 2)
        let heir = TenantName("heir")!
        #expect(try store.file(ids.0, of: heir).tenant == heir && store.batch(ids.1, of: heir).tenant == heir)
        #expect(throws: BatchError.self) { try store.file(ids.0, of: Self.red) }
        try store.runToTheEnd()
        let output = try #require(store.batch(ids.1, of: heir).json["output_file_id"]?.string)
        #expect(try store.file(output, of: heir).tenant == heir)
    }
}
