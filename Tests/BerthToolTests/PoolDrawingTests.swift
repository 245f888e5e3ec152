import BerthCore
import Testing

@testable import berth

@Suite struct PoolDrawingTests {
    private let answer: JSON = [
        "page_bytes": 1_048_576, "pages": 100, "free": 40, "withheld": 10, "touched": 75, "waste_bytes": ["kv": 524_288, "adapter": 0],
        "by_class": [
            "kv": ["pages": 30, "in_use": 20, "pinned": 0, "loading": 0, "cached": 10],
            "adapter": ["pages": 30, "in_use": 5, "pinned": 10, "loading": 5, "cached": 10],
        ],
        "hits": ["prefix": ["queries": 1000, "hits": 831], "adapter": ["queries": 0, "hits": 0]],
        "evictions": [["class": "adapter", "cause": "kv", "count": 3], ["class": "adapter", "cause": "limit", "count": 2]],
        "holders": [
            ["kind": "adapter", "name": "legal", "state": "pinned", "pages": 10],
            ["kind": "request", "name": "7", "state": "running", "pages": 1, "adapter": "legal", "tenant": "acme"],
        ],
        "tenants": [["name": "acme", "pages": 20]],
    ]

    @Test func draws() {
        let expected = """
            pool 100.0 MiB in 100 pages of 1.0 MiB, 40.0 MiB free, 75.0 MiB resident, 10.0 MiB withheld
            [KKKKKKKKKKkkkkkAAAAAAAAAAaaaaa...............-----]
            CLASS    SIZE      IN USE    PINNED    READING  CACHED    WASTE
            kv       30.0 MiB  20.0 MiB  -         -        10.0 MiB  512.0 KiB
            adapter  30.0 MiB  5.0 MiB   10.0 MiB  5.0 MiB  10.0 MiB  -
            found in memory: tokens of prompts 83.1 % of 1000
            had to leave: 3 adapter for kv, 2 adapter when the limit fell

            TENANT  SIZE
            acme    20.0 MiB  ####

            HOLDER   NAME        STATE    SIZE
            adapter  legal       pinned   10.0 MiB  ##
            request  7 on legal  running  1.0 MiB   #
            """
        #expect(PoolDrawing(answer, columns: 52).lines.joined(separator: "\n") == expected)
    }

    /// The bar has its width, whatever the numbers are.
    @Test func theBarAddsUp() {
        for width in [1, 7, 38, 200] { #expect(PoolDrawing(answer, columns: 80).bar(width: width).count == width) }
        let full: JSON = ["page_bytes": 4096, "pages": 3, "free": 0, "by_class": ["expert": ["pages": 5, "cached": 5]]]
        #expect(PoolDrawing(full, columns: 80).bar(width: 10) == "eeeeeeeeee")
        #expect(PoolDrawing([:], columns: 80).bar(width: 4) == "")
    }

    @Test func memoryIsTold() throws {
        #expect(try (Berth.parseAsRoot(["memory", "6G"]) as? Memory)?.size == ByteSize("6G"))
        #expect(try (Berth.parseAsRoot(["memory"]) as? Memory)?.size == nil)
        #expect(throws: (any Error).self) { try Berth.parseAsRoot(["memory", "much"]) }
        let answer: JSON = [
            "limit_bytes": 6_442_450_944, "least_bytes": 1_073_741_824, "most_bytes": 8_589_934_592, "plan": ["weights": 1_073_741_824, "pool": 0],
            "group_limit_bytes": 7_516_192_768, "withheld_bytes": 1_048_576, "warnings": ["too much"],
        ]
        #expect(MemoryReport(answer).lines == [
            "memory 6.0 GiB: weights 1.0 GiB, pool 0 B", "the least is 1.0 GiB, the most 8.0 GiB; the control group allows 7.0 GiB",
            "the machine is short of memory: the pool's caches do without 1.0 MiB", "warning: too much",
        ])
    }
}
