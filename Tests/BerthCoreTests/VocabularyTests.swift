import BerthCore
import Testing

@Suite struct VocabularyTests {
    @Test(arguments: [
        ("8G", 8 << 30), ("512M", 512 << 20), ("64k", 64 << 10), ("4096", 4096), ("1.5GiB", 3 << 29), ("2GB", 2 << 30), ("1T", 1 << 40), ("0", 0),
    ])
    func readsSizes(text: String, bytes: Int) {
        #expect(ByteSize(text)?.bytes == bytes)
    }

    @Test(arguments: ["", "G", "-1G", "8X", "1e400", "99999999999T", "8 G", "nan", "inf", "0x10", "G8", "+8"])
    func refusesWhatIsNoSize(_ text: String) {
        #expect(ByteSize(text) == nil)
    }

    @Test func printsSizesShortly() {
        #expect(ByteSize(bytes: 8 << 30).description == "8.0 GiB")
        #expect(ByteSize(bytes: 1000).description == "1000 B")
        #expect(ByteSize(bytes: 1536).description == "1.5 KiB")
    }

    @Test func adapterNamesAreSafeAsFileNamesAndLabels() {
        for good in ["support-bot", "legal.de", "a", "A_1:v2", "org/name", "a/b/c-1.0"] { #expect(AdapterName(good)?.text == good) }
        for bad in ["", ".", "..", ".hidden", "-rf", "/", "/a", "a/", "a//b", "a/../b", "../a", "a/.", "a/.b", "a/-b", "a,b", "a b", "ä", "a\n", String(repeating: "a", count: Limits.adapterNameBytes + 1)] {
            #expect(AdapterName(bad) == nil)
        }
    }

    @Test func randomnessIsReproducible() {
        var first = RandomSource(seed: 42)
        var second = RandomSource(seed: 42)
        var other = RandomSource(seed: 43)
        let numbers = (0..<8).map { _ in first.next() }
        #expect(numbers == (0..<8).map { _ in second.next() })
        #expect(numbers != (0..<8).map { _ in other.next() })
        for _ in 0..<1000 { #expect((0..<1).contains(first.unit())) }
    }
}
