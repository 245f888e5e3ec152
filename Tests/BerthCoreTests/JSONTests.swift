import BerthCore
import Testing

@Suite struct JSONTests {
    @Test func readsEveryKindOfValue() throws {
        let json = try JSON(parsing: #" {"a":[1,-2.5,1e3,true,false,null],"b":"x\n\u00e9\ud83d\ude42\/","c":{}} "#)
        #expect(json["a"] == [1, -2.5, 1000.0, true, false, nil])
        #expect(json["b"] == "x\né🙂/")
        #expect(json["c"] == [:])
    }

    @Test func keepsTheOrderOfKeysAndTheLastOfEqualOnes() throws {
        let json = try JSON(parsing: #"{"z":1,"a":2,"z":3}"#)
        #expect(json.text == #"{"z":3,"a":2}"#)
    }

    @Test func integersAreExactAndLargerOnesBecomeDoubles() throws {
        #expect(try JSON(parsing: "9223372036854775807").int == .max)
        #expect(try JSON(parsing: "9223372036854775808") == .number(9223372036854775808))
        #expect(try JSON(parsing: "3.0").int == 3)
        #expect(try JSON(parsing: "3.5").int == nil)
        #expect(try JSON(parsing: "1e300").int == nil)
    }

    @Test func unpairedSurrogatesBecomeReplacementCharacters() throws {
        #expect(try JSON(parsing: #""\ud83d""#) == "\u{FFFD}")
        #expect(try JSON(parsing: #""\ude42x""#) == "\u{FFFD}x")
        #expect(try JSON(parsing: #""\ud83d\u0041""#) == "\u{FFFD}A")
    }

    @Test(arguments: [
        "", " ", "{", "[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "[1,]", "{\"a\":1,}", "01", "-", "1.", ".5", "1e", "+1", "NaN", "Infinity",
        "tru", "nul", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\u{01}\"", "1 1", "[]]", "1e999", "'a'", "{\"a\":1 \"b\":2}", "\u{FEFF}1",
    ])
    func refusesWhatIsNoDocument(_ text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test func refusesInvalidUTF8() {
        for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22]] {
            #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
        }
    }

    @Test func boundsNesting() throws {
        let deepest = String(repeating: "[", count: Limits.jsonDepth) + String(repeating: "]", count: Limits.jsonDepth)
        _ = try JSON(parsing: deepest)
        #expect(throws: JSONError.self) { try JSON(parsing: "[" + deepest + "]") }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
    }

    @Test func saysWhereParsingStopped() {
        #expect { try JSON(parsing: "[1,x]") } throws: { ($0 as? JSONError)?.offset == 3 }
    }

    /// Values made at random survive being written and read; damaged texts never crash.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func writesWhatItReads(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        for _ in 0..<300 {
            let value = randomValue(&random, depth: 4)
            let bytes = value.utf8
            #expect(try JSON(parsing: bytes) == value, "seed \(seed)")
            var damaged = bytes
            damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = try? JSON(parsing: damaged)
            _ = try? JSON(parsing: Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))))
        }
    }

    private func randomValue(_ random: inout RandomSource, depth: Int) -> JSON {
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64.random(in: .min ... .max, using: &random))
        case 3: return .number((Double.random(in: -1e9...1e9, using: &random)) + 0.5)
        case 4:
            let scalars = (0..<Int.random(in: 0..<8, using: &random)).map { _ in Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random)) ?? "\"" }
            return .string(String(String.UnicodeScalarView(scalars)))
        case 5: return .array((0..<Int.random(in: 0..<4, using: &random)).map { _ in randomValue(&random, depth: depth - 1) })
        default:
            var members: JSON = [:]
            if case .object(var object) = members {
                for index in 0..<Int.random(in: 0..<4, using: &random) { object["k\(index)\n"] = randomValue(&random, depth: depth - 1) }
                members = .object(object)
            }
            return members
        }
    }
}
