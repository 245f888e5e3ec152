import BerthCore
import Testing

@testable import BerthHTTP

@Suite struct MultipartTests {
    /// What a parser makes of a body that is cut at the given places: one word per part, data joined.
    private func parsed(_ body: [UInt8], boundary: String = "b", cuts: [Int] = []) -> [String] {
        var events: [String] = []
        do {
            var parser = try MultipartParser(contentType: "multipart/form-data; boundary=\(boundary)")
            var data: [UInt8] = []
            var start = 0
            for end in cuts + [body.count] {
                parser.feed(body[start..<end])
                start = end
                while let event = try parser.next() {
                    switch event {
                    case .part(let name, let file): events.append("\(name)|\(file ?? "-")")
                    case .data(let bytes):
                        #expect(!bytes.isEmpty)
                        data += bytes
                    case .partEnd:
                        events.append(String(decoding: data, as: UTF8.self))
                        data = []
                    case .end: events.append("end")
                    }
                }
            }
        } catch { events.append("error") }
        return events
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func partsHoweverTheyAreCut() {
        let body = bytes("preamble\r\n--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n--b \t\r\nX: y\r\nContent-Disposition: form-data;name=f; filename=\"x;\\\"y\\\"\"\r\n\r\nline\r\n--\r\n--bb is data\r\n\r\n--b--\r\nepilogue")
        let wanted = ["a|-", "", "f|x;\"y\"", "line\r\n--", "error"]
        // `--bb` is a boundary followed by something else.
        #expect(parsed(body) == ["a|-", "", "f|x;\"y\"", "line\r\n--", "error"])
        let good = bytes(String(decoding: body, as: UTF8.self).replacing("--bb is", with: "--B is"))
        let all = ["a|-", "", "f|x;\"y\"", "line\r\n--\r\n--B is data\r\n", "end"]
        #expect(parsed(good) == all && wanted != all)
        for cut in 0...good.count { #expect(parsed(good, cuts: [cut]) == all, "cut at \(cut)") }
        #expect(parsed(good, cuts: Array(0...good.count)) == all, "byte by byte")
    }

    @Test func malformedBodies() {
        #expect(parsed(bytes("--b\r\n\r\nx\r\n--b--")) == ["error"], "no name")
        #expect(parsed(bytes("--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx")) == ["error"])
        #expect(parsed(bytes("--b\nContent-Disposition: form-data; name=a\n\nx")) == ["error"], "bare line feeds")
        #expect(parsed(bytes("--b\r\nno colon\r\n\r\nx")) == ["error"])
        #expect(parsed(bytes("--b\r\nX: " + String(repeating: "y", count: Limits.partHeaderBytes))) == ["error"])
        let field = "X: " + String(repeating: "y", count: 1000) + "\r\n"
        #expect(parsed(bytes("--b\r\n" + String(repeating: field, count: 9) + "\r\n")) == ["error"], "a header of many lines")
        let part = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
        #expect(parsed(bytes(String(repeating: part, count: Limits.uploadParts + 1) + "--b--")).last == "error")
        #expect(parsed(bytes("no boundary at all")) == [] && parsed(bytes("--b")) == [])
        for type in ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"", "multipart/mixed; boundary=b",
            "multipart/form-data; boundary=" + String(repeating: "b", count: 71)] {
            #expect(throws: HTTPError.self) { try MultipartParser(contentType: type) }
        }
        #expect(throws: Never.self) { try MultipartParser(contentType: "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"") }
    }

    /// Random contents of bytes that look like boundaries come out as they went in.
    @Test(arguments: [1, 2, 3] as [UInt64]) func randomContents(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let pieces = ["\r", "\n", "\r\n", "-", "--", "--bo", "\r\n--bo", "\r\n--", "b", "o", "und", "\r\n\r\n", "x"]
        for round in 0..<200 {
            var content = (0..<Int.random(in: 0..<40, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            content = String(content.replacing("\r\n--bound", with: "\r\n--boun"))
            let body = bytes("--bound\r\nContent-Disposition: form-data; name=a\r\n\r\n\(content)\r\n--bound--\r\n")
            let cuts = (0..<Int.random(in: 0..<6, using: &random)).map { _ in Int.random(in: 0...body.count, using: &random) }.sorted()
            #expect(parsed(body, boundary: "bound", cuts: cuts) == ["a|-", content, "end"], "seed \(seed), round \(round)")
        }
    }
}

@Suite struct QueryTests {
    @Test func queries() throws {
        let query = try QueryReader("limit=5&after=a%20b+c&empty=&limit=7&flag")
        #expect(try query.int("limit", in: 1...10) == 7)
        #expect(query.string("after") == "a b c" && query.string("empty") == nil && query.string("flag") == nil && query.string("other") == nil)
        #expect(throws: APIError.self) { try query.int("limit", in: 1...6) }
        #expect(throws: APIError.self) { try query.int("after", in: 1...6) }
        #expect(throws: APIError.self) { try query.choice("after", ["asc"]) }
        for bad in ["a=%", "a=%zz", "%00=1", "a=%ff"] { #expect(throws: APIError.self) { try QueryReader(Substring(bad)) } }
    }
}
