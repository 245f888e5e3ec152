// A whole answer, before it becomes bytes.

import BerthCore
import BerthHTTP
import HTTPTypes

struct Response: Equatable {
    var status: HTTPResponse.Status
    var fields: HTTPFields
    var body: [UInt8]

    init(_ status: HTTPResponse.Status = .ok, contentType: String, body: [UInt8], fields: HTTPFields = [:]) {
        self.status = status
        self.fields = fields
        self.fields[.contentType] = contentType
        self.body = body
    }

    init(_ status: HTTPResponse.Status = .ok, json: JSON) {
        self.init(status, contentType: "application/json", body: json.utf8)
    }

    init(_ error: APIError) {
        self.init(error.status, json: error.body)
        if let seconds = error.retryAfterSeconds { fields[.retryAfter] = String(seconds) }
        if let limit = error.limit { fields[.berthLimit] = limit }
        // RFC 9110, section 15.5.2, wants it said how.
        if error.status == .unauthorized { fields[.wwwAuthenticate] = "Bearer realm=\"berth\"" }
    }
}
