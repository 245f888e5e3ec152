import Glibc
import Testing

@testable import berth_bench

@Suite struct NumbersTests {
    @Test func numbersAreWrittenAsPrintfWritesThem() {
        for value in [0, 0.04, 0.05001, 1, 9.996, -3.14159, 123456.789, -0.001] {
            for decimals in 0...4 {
                var expected = [CChar](repeating: 0, count: 64)
                _ = withVaList([Int32(decimals), value]) { vsnprintf(&expected, 64, "%.*f", $0) }
                let text = String(decoding: expected.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                let zero = text.allSatisfy { "-0.".contains($0) }
                #expect(fixed(value, decimals) == (zero && text.hasPrefix("-") ? String(text.dropFirst()) : text))
            }
        }
        #expect(fixed(.infinity, 1) == "-" && scientific(.nan) == "-")
        #expect(scientific(0) == "0" && scientific(0.00123456) == "1.23e-3" && scientific(-9.9999e5) == "-1.00e6" && scientific(1000) == "1.00e3")
    }

    @Test func statistics() {
        #expect(median([3, 1, 2]) == 2 && median([4, 1, 2, 3]) == 2.5 && median([]) == 0)
        #expect(mean([1, 2, 6]) == 3 && mean([]) == 0 && standardError([1, 3, 5]) == (4.0 / 3).squareRoot() && standardError([7]) == 0)
        #expect(percentile(0.99, of: (1...100).map(Double.init)) == 99 && percentile(0.5, of: [1, 2]) == 1 && percentile(1, of: [7]) == 7)
        #expect(counts("1,16", upTo: 16) == [1, 16] && counts("1,x", upTo: 9) == nil && counts("", upTo: 9) == nil && counts("10", upTo: 9) == nil)
    }

    @Test func tablesAlign() {
        var table = TextTable(["name", "n"])
        table.append(["a", "123"])
        #expect(table.text == "name     n\na      123")
    }
}
