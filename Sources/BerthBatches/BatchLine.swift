// One line of an input, and one of an output: OpenAI's shapes.

import BerthCore

/// A line that can be run.
struct BatchLine {
    /// Of the lines' `url`.
    static let endpoints = ["/v1/chat/completions", "/v1/completions"]

    var customID: String
    var body: JSON

    /// What is wrong with a line, and what of it is known.
    struct Fault: Error, Equatable {
        var code: String
        var message: String
        var parameter: String?
        var customID: String?
    }

    /// - Parameter endpoint: the batch's: every line has it as its `url`.
    init(_ bytes: [UInt8], endpoint: String) throws(Fault) {
        let json: JSON
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw Fault(code: "invalid_json_line", message: "The line is not valid JSON: \(error).")
        }
        guard json.object != nil else { throw Fault(code: "invalid_json_line", message: "The line is \(json.kind), not a JSON object.") }
        let customID = try Self.customID(json)
        self.customID = customID
        func fault(_ code: String, _ parameter: String, _ problem: String) -> Fault {
            Fault(code: code, message: "'\(parameter)' \(problem)", parameter: parameter, customID: customID)
        }
        guard let method = json["method"] else { throw fault("missing_required_parameter", "method", "is required.") }
        guard method == "POST" else { throw fault("invalid_method", "method", "must be \"POST\".") }
        guard let url = json["url"] else { throw fault("missing_required_parameter", "url", "is required.") }
        guard url.string == endpoint else { throw fault("invalid_url", "url", "must be the batch's endpoint, \(endpoint).") }
        guard let body = json["body"] else { throw fault("missing_required_parameter", "body", "is required.") }
        guard body.object != nil else { throw fault("invalid_type", "body", "must be an object, not \(body.kind).") }
        if body["stream"]?.bool == true {
            throw Fault(code: "invalid_value", message: "'stream' is not supported in a batch.", parameter: "body.stream", customID: customID)
        }
        self.body = body
    }

    private static func customID(_ json: JSON) throws(Fault) -> String {
        guard let value = json["custom_id"], !value.isNull else {
            throw Fault(code: "missing_required_parameter", message: "'custom_id' is required.", parameter: "custom_id")
        }
        guard let text = value.string, !text.isEmpty, text.utf8.count <= Limits.customIDBytes else {
            throw Fault(
                code: "invalid_value", message: "'custom_id' must be a string of 1 to \(Limits.customIDBytes) bytes.", parameter: "custom_id")
        }
        return text
    }
}

/// The lines of output and error files.
public enum ResultLine {
    /// An answer, or a refusal of the body.
    public static func response(id: String, customID: String, status: Int, body: JSON) -> [UInt8] {
        line(id, customID, ["status_code": JSON(status), "request_id": .string(id), "body": body], nil)
    }

    /// A line that was not run. `number` counts the input's lines from 1.
    static func fault(id: String, customID: String?, number: Int, code: String, message: String, parameter: String? = nil) -> [UInt8] {
        line(id, customID, nil, error(number: number, code: code, message: message, parameter: parameter))
    }

    /// The same, as a batch's `errors` has it.
    static func error(number: Int?, code: String, message: String, parameter: String? = nil) -> JSON {
        ["code": .string(code), "message": .string(message), "param": parameter.map(JSON.string) ?? nil, "line": number.map { JSON($0) } ?? nil]
    }

    private static func line(_ id: String, _ customID: String?, _ response: JSON, _ error: JSON) -> [UInt8] {
        let json: JSON = ["id": .string(id), "custom_id": customID.map(JSON.string) ?? nil, "response": response, "error": error]
        return json.utf8 + [UInt8(ascii: "\n")]
    }
}
