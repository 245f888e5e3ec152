// A streamed answer. Nothing is read ahead of the reader: a slow reader slows the daemon's stream, not this process's memory.

import BerthCore
import BerthHTTP

/// The pieces of an answer in the order in which they are made. Ends after the last piece; throws `BerthClientError`.
///
/// Iterate once. Leaving the loop, cancelling the task or dropping the stream closes the connection and so ends the generation.
public struct GenerationStream: AsyncSequence, Sendable {
    public typealias Element = GenerationChunk
    public typealias Failure = BerthClientError

    let exchange: Exchange

    public func makeAsyncIterator() -> Iterator { Iterator(exchange: exchange) }

    public struct Iterator: AsyncIteratorProtocol {
        private let exchange: Exchange
        private var parser = SSEParser()
        private var pending: [String] = []
        private var isDone = false

        init(exchange: Exchange) { self.exchange = exchange }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(BerthClientError) -> GenerationChunk? {
            while !isDone {
                while !pending.isEmpty {
                    let data = pending.removeFirst()
                    if data == "[DONE]" {
                        isDone = true
                        return nil
                    }
                    return try chunk(data)
                }
                guard let bytes = try await exchange.nextBody() else {
                    throw .connectionLost("the stream ended before its last piece")
                }
                do { pending = try parser.feed(bytes).map(\.data) } catch { throw .unexpectedAnswer(error.message) }
            }
            return nil
        }

        public mutating func next() async throws -> GenerationChunk? { try await next(isolation: nil) }

        private func chunk(_ data: String) throws(BerthClientError) -> GenerationChunk {
            let json: JSON
            do { json = try JSON(parsing: data) } catch { throw .unexpectedAnswer("\(error)") }
            if json["error"] != nil { throw .refused(.init(status: 200, json: json)) }
            return try GenerationChunk(json: json)
        }
    }
}
