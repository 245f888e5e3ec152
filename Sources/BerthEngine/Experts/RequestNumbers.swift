// Small numbers for running requests, so that tables by request are arrays.

import BerthCore

/// Gives each request a number that no other one has, below the most requests that were there at a time.
struct RequestNumbers {
    private var numbers: [RequestID: Int] = [:]
    private var unused: [Int] = []

    mutating func number(of request: RequestID) -> Int {
        if let known = numbers[request] { return known }
        let number = unused.popLast() ?? numbers.count
        numbers[request] = number
        return number
    }

    /// Nil where the request has none yet.
    func known(_ request: RequestID) -> Int? { numbers[request] }

    /// The number that is free from now on; nil where the request had none.
    mutating func end(_ request: RequestID) -> Int? {
        guard let number = numbers.removeValue(forKey: request) else { return nil }
        unused.append(number)
        return number
    }
}
