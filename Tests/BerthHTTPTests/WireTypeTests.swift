// Request bodies: what is read, and the exact field that a wrong one is blamed on.

import BerthCore
import Testing

@testable import BerthHTTP

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The field that the error names.
private func blame<Call>(_ make: ([UInt8]) throws -> Call, _ text: String) -> String? {
    do {
        _ = try make(bytes(text))
        return nil
    } catch let error as APIError {
        #expect(error.status == .badRequest && error.type == "invalid_request_error")
        return error.parameter ?? "body"
    } catch {
        Issue.record("\(error)")
        return nil
    }
}

@Suite struct CompletionCallTests {
    @Test func defaults() throws {
        let call = try CompletionCall(body: bytes(#"{"prompt": "a", "max_tokens": null, "unknown": {"x": [1]}, "user": 3}"#))
        #expect(call.prompts == [.text("a")] && call.maxTokens == nil && call.sampling == SamplingFields() && call.delivery == DeliveryFields())
        #expect(call.logprobs == nil && !call.echo && call.addsSpecialTokens)
    }

    @Test func everything() throws {
        let call = try CompletionCall(
            body: bytes(#"""
                {"model": "m", "prompt": ["a", [1, 2]], "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": -1, "min_p": 0.1,
                 "repetition_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2, "logit_bias": {"7": -100}, "seed": -3,
                 "stop": "x", "stop_token_ids": [4], "ignore_eos": true, "skip_special_tokens": false, "n": 3, "stream": true,
                 "stream_options": {"include_usage": true}, "echo": true, "logprobs": 5, "return_token_ids": true,
                 "return_tokens_as_token_ids": true, "best_of": 3, "add_special_tokens": false}
                """#))
        #expect(call.prompts == [.text("a"), .tokens([1, 2])] && call.maxTokens == .atMost(5) && call.echo && call.logprobs == 5 && !call.addsSpecialTokens)
        let sampling = call.sampling
        #expect(sampling.temperature == 0.5 && sampling.topP == 0.9 && sampling.topK == 0 && sampling.minP == 0.1 && sampling.repetitionPenalty == 1.1)
        #expect(sampling.presencePenalty == -1 && sampling.frequencyPenalty == 2 && sampling.logitBias == [7: -100] && sampling.seed == UInt64(bitPattern: -3))
        #expect(sampling.stopStrings == ["x"] && sampling.stopTokens == [4] && sampling.ignoresEndTokens && sampling.showsSpecialTokens)
        let delivery = call.delivery
        #expect(delivery.model == "m" && delivery.n == 3 && delivery.streams && delivery.includesUsage && delivery.returnsTokenIDs && delivery.showsTokensAsIDs)
    }

    @Test(arguments: [
        (#"{"prompt": "a""#, "body"), (#"["a"]"#, "body"), ("", "body"), ("\u{FEFF}{}", "body"), (#"{"model": "m"}"#, "prompt"), (#"{"prompt": 1}"#, "prompt"),
        (#"{"prompt": []}"#, "prompt"), (#"{"prompt": [1, "a"]}"#, "prompt"), (#"{"prompt": [[1], {}]}"#, "prompt"), (#"{"prompt": [1.5]}"#, "prompt"),
        (#"{"prompt": [-1]}"#, "prompt"), (#"{"prompt": [4294967296]}"#, "prompt"), (#"{"prompt": [1e300]}"#, "prompt"), (#"{"prompt": [true]}"#, "prompt"),
        (#"{"prompt": "a", "max_tokens": 0}"#, "max_tokens"), (#"{"prompt": "a", "max_tokens": -2}"#, "max_tokens"),
        (#"{"prompt": "a", "max_tokens": "5"}"#, "max_tokens"), (#"{"prompt": "a", "max_tokens": 1.5}"#, "max_tokens"),
        (#"{"prompt": "a", "max_tokens": 1e40}"#, "max_tokens"), (#"{"prompt": "a", "max_tokens": 99999999999999999999}"#, "max_tokens"),
        (#"{"prompt": "a", "n": 0}"#, "n"), (#"{"prompt": "a", "n": 1000000}"#, "n"), (#"{"prompt": ["a", "b"], "n": 100}"#, "prompt"),
        (#"{"prompt": "a", "temperature": -0.1}"#, "temperature"), (#"{"prompt": "a", "temperature": 1e9}"#, "temperature"),
        (#"{"prompt": "a", "temperature": "hot"}"#, "temperature"), (#"{"prompt": "a", "top_p": -0.5}"#, "top_p"), (#"{"prompt": "a", "top_k": -2}"#, "top_k"),
        (#"{"prompt": "a", "logit_bias": {"x": 1}}"#, "logit_bias"), (#"{"prompt": "a", "logit_bias": {"1": 101}}"#, "logit_bias"),
        (#"{"prompt": "a", "logit_bias": [1]}"#, "logit_bias"), (#"{"prompt": "a", "stop": [1]}"#, "stop"),
        (#"{"prompt": "a", "stop": [null]}"#, "stop"), (#"{"prompt": "a", "logprobs": 21}"#, "logprobs"), (#"{"prompt": "a", "logprobs": true}"#, "logprobs"),
        (#"{"prompt": "a", "stream": "yes"}"#, "stream"), (#"{"prompt": "a", "stream_options": {}}"#, "stream_options"),
        (#"{"prompt": "a", "suffix": "b"}"#, "suffix"), (#"{"prompt": "a", "best_of": 2}"#, "best_of"), (#"{"prompt": "a", "model": 3}"#, "model"),
        (#"{"prompt": "a", "response_format": {"type": "json_object"}}"#, "response_format"), (#"{"prompt": "a", "seed": 1.5}"#, "seed"),
        (#"{"prompt": "a", "response_format": {}}"#, "response_format"), (#"{"prompt": "a", "prompt_logprobs": 1, "stream": true}"#, "prompt_logprobs"),
        (#"{"prompt": "a", "prompt_logprobs": 99}"#, "prompt_logprobs"), (#"{"prompt": "a", "truncate_prompt_tokens": 0}"#, "truncate_prompt_tokens"),
        (#"{"prompt": "a", "min_tokens": -1}"#, "min_tokens"), (#"{"prompt": "a", "bad_words": "x"}"#, "bad_words"), (#"{"prompt": "a", "bad_words": [1]}"#, "bad_words"),
        (#"{"prompt": "a", "repetition_penalty": 0}"#, "repetition_penalty"), (#"{"prompt": "a", "priority": "high"}"#, "priority"),
        (#"{"prompt": "a", "priority": 0.5}"#, "priority"), (#"{"prompt": "a", "priority": 1001}"#, "priority"), (#"{"prompt": "a", "priority": -1001}"#, "priority"),
        (#"{"prompt": "a", "priority": 1e30}"#, "priority"),
    ])
    func blamed(_ body: String, _ field: String) { #expect(blame(CompletionCall.init, body) == field, "\(body)") }

    /// What would change the answer and is not there is refused by its name, in both calls; a value that asks for nothing is not.
    @Test func unsupportedFieldsAreRefusedByName() throws {
        for field in UnsupportedFields.all {
            let (name, harmless) = (field.name, field.harmless)
            let wanted: JSON = ["type": "x"]
            #expect(blame(CompletionCall.init, #"{"prompt": "a", "\#(name)": \#(wanted.text)}"#) == name)
            #expect(blame(ChatCall.init, #"{"messages": [{"role": "user", "content": "a"}], "\#(name)": \#(wanted.text)}"#) == name)
            if let instead = field.instead {
                let message = #expect(throws: APIError.self) { try CompletionCall(body: bytes(#"{"prompt": "a", "\#(name)": {}}"#)) }?.message
                #expect(message?.contains(instead) == true)
            }
            for value in harmless + [.null] { _ = try CompletionCall(body: bytes(#"{"prompt": "a", "\#(name)": \#(value.text)}"#)) }
        }
        // What only informs is accepted.
        _ = try CompletionCall(body: bytes(#"{"prompt": "a", "user": "u", "metadata": {"a": "b"}, "store": false, "service_tier": "auto", "stop": ""}"#))
    }

    /// What ordinary clients send and other servers take.
    @Test func whatOthersTake() throws {
        let call = try CompletionCall(
            body: bytes(#"{"prompt": "a", "max_tokens": -1, "top_p": 0, "top_k": -1, "stop": ["", "x"], "prompt_logprobs": 2, "truncate_prompt_tokens": -1}"#))
        #expect(call.maxTokens == .unlimited && call.sampling.topP == 0 && call.sampling.topK == 0 && call.sampling.stopStrings == ["x"])
        #expect(call.delivery.promptLogprobs == 2 && call.delivery.promptTokens == -1)
        let more = try CompletionCall(
            body: bytes(#"{"prompt": "a", "min_tokens": 3, "bad_words": ["x", ""], "include_stop_str_in_output": true, "max_tokens": 0, "prompt_logprobs": 0}"#))
        #expect(more.sampling.minTokens == 3 && more.sampling.badWords == ["x"] && more.sampling.includesStop && more.maxTokens == .atMost(0))
        let chat = try ChatCall(body: bytes(#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 7, "max_completion_tokens": -1, "best_of": 1}"#))
        #expect(chat.maxTokens == .unlimited)
        #expect(try ChatCall(body: bytes(#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 7, "max_completion_tokens": null}"#)).maxTokens == .atMost(7))
    }

    /// As in vLLM: an integer, lower goes first, 0 where nothing is said; in both calls.
    @Test func priorities() throws {
        for (text, priority) in [("-1000", -1000), ("1000", 1000), ("7.0", 7), ("null", 0)] {
            #expect(try CompletionCall(body: bytes(#"{"prompt": "a", "priority": \#(text)}"#)).delivery.priority == priority)
            #expect(try ChatCall(body: bytes(#"{"messages": [{"role": "user", "content": "a"}], "priority": \#(text)}"#)).delivery.priority == priority)
        }
        #expect(try CompletionCall(body: bytes(#"{"prompt": "a"}"#)).delivery.priority == 0)
        #expect(blame(ChatCall.init, #"{"messages": [{"role": "user", "content": "a"}], "priority": -1001}"#) == "priority")
        let message = #expect(throws: APIError.self) { try CompletionCall(body: bytes(#"{"prompt": "a", "priority": 1001}"#)) }?.message
        #expect(message?.contains("-1000 and 1000") == true, "\(message ?? "")")
    }

    @Test func seedNamesBothBounds() {
        let message = #expect(throws: APIError.self) { try CompletionCall(body: bytes(#"{"prompt": "a", "seed": 18446744073709551616}"#)) }?.message
        #expect(message?.contains("9223372036854775807") == true, "\(message ?? "")")
    }

    @Test func invalidUTF8() {
        #expect(throws: APIError.self) { try CompletionCall(body: bytes(#"{"prompt": ""#) + [0xFF, 0xFE] + bytes(#""}"#)) }
    }

    @Test func zeroTokensWithEcho() throws {
        #expect(try CompletionCall(body: bytes(#"{"prompt": "a", "max_tokens": 0, "echo": true}"#)).maxTokens == .atMost(0))
    }

    @Test func errorsDoNotRepeatLongInput() {
        do {
            _ = try CompletionCall(body: bytes(#"{"prompt": "a", "logit_bias": {""# + String(repeating: "x", count: 100_000) + #"": 1}}"#))
            Issue.record("accepted")
        } catch { #expect(error.message.utf8.count < 400) }
    }
}

@Suite struct ChatCallTests {
    @Test func messages() throws {
        let call = try ChatCall(
            body: bytes(#"""
                {"messages": [{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                              {"content": null, "role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
                              {"role": "user", "content": "c", "name": "n"}],
                 "max_tokens": 7, "max_completion_tokens": 8, "logprobs": true, "top_logprobs": 2, "tools": [{"type": "function"}], "tool_choice": "auto",
                 "chat_template_kwargs": {"enable_thinking": false, "messages": []}, "response_format": {"type": "text"}}
                """#))
        #expect(call.input.messages.array?.count == 3 && call.maxTokens == .atMost(8) && call.logprobs == 2)
        #expect(call.input.messages.array?[0] == ["role": "system", "content": "a\nb"])
        #expect(call.input.messages.array?[1]["tool_calls"]?.array?[0]["function"]?["arguments"] == ["x": 1])
        #expect(call.input.messages.array?[2]["name"] == "n")
        #expect(call.input.variables == ["enable_thinking": false, "tools": [["type": "function"]]] && call.input.addsGenerationPrompt)
    }

    /// Null is absent, and absent content is empty: no template writes "None" or takes a member for one that is there.
    @Test(arguments: [
        (#"{"role": "assistant"}"#, #"{"role":"assistant","content":""}"#),
        (#"{"role": "assistant", "content": null}"#, #"{"role":"assistant","content":""}"#),
        (#"{"role": "assistant", "content": []}"#, #"{"role":"assistant","content":""}"#),
        (#"{"role": "user", "content": "a", "name": null, "refusal": null}"#, #"{"role":"user","content":"a"}"#),
        (#"{"role": "assistant", "content": "a", "tool_calls": null}"#, #"{"role":"assistant","content":"a"}"#),
        (#"{"role": "assistant", "content": "a", "tool_calls": []}"#, #"{"role":"assistant","content":"a"}"#),
        (#"{"role": "assistant", "tool_calls": [{"id": null, "function": {"name": "f", "arguments": ""}}]}"#,
         #"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}],"content":""}"#),
        (#"{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": null}}]}"#,
         #"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}],"content":""}"#),
    ])
    func emptyParts(_ given: String, _ wanted: String) throws {
        let call = try ChatCall(body: bytes(#"{"messages": [\#(given)]}"#))
        #expect(call.input.messages.text == "[\(wanted)]")
    }

    @Test(arguments: [
        (#"{}"#, "messages"), (#"{"messages": []}"#, "messages"), (#"{"messages": "hi"}"#, "messages"), (#"{"messages": ["hi"]}"#, "messages[0]"),
        (#"{"messages": [{"content": "a"}]}"#, "messages[0].role"), (#"{"messages": [{"role": 1, "content": "a"}]}"#, "messages[0].role"),
        (#"{"messages": [{"role": "user", "content": 5}]}"#, "messages[0].content"),
        (#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}"#, "messages[0].content"),
        (#"{"messages": [{"role": "user", "content": [5]}]}"#, "messages[0].content"),
        (#"{"messages": [{"role": "assistant", "tool_calls": {}}]}"#, "messages[0].tool_calls"),
        (#"{"messages": [{"role": "assistant", "tool_calls": ["f"]}]}"#, "messages[0].tool_calls"),
        (#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}"#, "max_tokens"),
        (#"{"messages": [{"role": "user", "content": "a"}], "max_completion_tokens": -5}"#, "max_completion_tokens"),
        (#"{"messages": [{"role": "user", "content": "a"}], "best_of": 3}"#, "best_of"),
        (#"{"messages": [{"role": "user", "content": "a"}], "top_logprobs": 3}"#, "top_logprobs"),
        (#"{"messages": [{"role": "user", "content": "a"}], "logprobs": 3}"#, "logprobs"),
        (#"{"messages": [{"role": "user", "content": "a"}], "logprobs": true, "top_logprobs": 21}"#, "top_logprobs"),
        (#"{"messages": [{"role": "user", "content": "a"}], "tools": {}}"#, "tools"), (#"{"messages": [{"role": "user", "content": "a"}], "tools": [1]}"#, "tools"),
        (#"{"messages": [{"role": "user", "content": "a"}], "tool_choice": "required"}"#, "tool_choice"),
        (#"{"messages": [{"role": "user", "content": "a"}], "chat_template": "{{ x }}"}"#, "chat_template"),
        (#"{"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema"}}"#, "response_format"),
    ])
    func blamed(_ body: String, _ field: String) { #expect(blame(ChatCall.init, body) == field, "\(body)") }
}

@Suite struct OtherCallTests {
    @Test func tokenize() throws {
        #expect(try TokenizeCall(body: bytes(#"{"prompt": "a"}"#)).addsSpecialTokens)
        #expect(try !TokenizeCall(body: bytes(#"{"messages": [{"role": "user", "content": "a"}]}"#)).addsSpecialTokens)
        #expect(blame(TokenizeCall.init, #"{"prompt": ["a"]}"#) == "prompt")
        #expect(try DetokenizeCall(body: bytes(#"{"tokens": [1, 2]}"#)).tokens == [1, 2])
        #expect(blame(DetokenizeCall.init, #"{"tokens": [-1]}"#) == "tokens")
        #expect(TokenizeCall.answer(tokens: [3], contextLength: 9).text == #"{"tokens":[3],"count":1,"max_model_len":9}"#)
    }

    @Test func adapters() throws {
        let call = try LoadAdapterCall(body: bytes(#"{"lora_name": "legal-de", "lora_path": "/a/b", "pinned": true}"#))
        #expect(call.name.text == "legal-de" && call.path == "/a/b" && call.pinned)
        for (body, field) in [
            (#"{"lora_path": "/a"}"#, "lora_name"), (#"{"lora_name": "../x", "lora_path": "/a"}"#, "lora_name"), (#"{"lora_name": "x", "lora_path": "a"}"#, "lora_path"),
            (#"{"lora_name": "x", "lora_path": "/a\u0000b"}"#, "lora_path"), (#"{"lora_name": "a,b", "lora_path": "/a"}"#, "lora_name"),
        ] { #expect(blame(LoadAdapterCall.init, body) == field) }
        #expect(try PinAdapterCall(body: []).pinned && !PinAdapterCall(body: bytes(#"{"pinned": false}"#)).pinned)
    }
}

@Suite struct AnswerTests {
    private let completion = AnswerIdentity(id: "cmpl-1", created: 5, model: "m", isChat: false)
    private let chat = AnswerIdentity(id: "chatcmpl-1", created: 5, model: "m", isChat: true)
    private let report = TokenReport(
        text: "é", bytes: [0xC3, 0xA9], logprob: -0.5, top: [.init(text: "a", bytes: [97], logprob: -0.25), .init(text: "b", bytes: [98], logprob: -.infinity)])

    @Test func completions() {
        var piece = AnswerPiece(index: 1, text: "xé")
        piece.finishReason = "stop"
        piece.logprobs = [TokenReport(text: "x", bytes: [120], logprob: nil, top: []), report]
        #expect(completion.answer([piece], usage: AnswerUsage(promptTokens: 2, completionTokens: 3)).text
            == #"{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"index":1,"text":"xé","logprobs":{"tokens":["x","é"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"a":-0.25,"b":-9999.0,"é":-0.5}],"text_offset":[0,1]},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}}"#)
        #expect(completion.chunk(AnswerPiece(index: 0, text: "a"), announcesUsage: true).text
            == #"{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}],"usage":null}"#)
        #expect(completion.usageChunk(AnswerUsage(promptTokens: 1, completionTokens: 1)).text.contains(#""choices":[],"usage":{"#))
    }

    @Test func chats() {
        var piece = AnswerPiece(index: 0, text: "é")
        piece.logprobs = [report]
        piece.opensMessage = true
        piece.tokenIDs = [7]
        #expect(chat.chunk(piece, announcesUsage: false).text
            == #"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"é"},"logprobs":{"content":[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"a","logprob":-0.25,"bytes":[97]},{"token":"b","logprob":-9999.0,"bytes":[98]}]}],"refusal":null},"finish_reason":null,"token_ids":[7]}]}"#)
        var last = AnswerPiece(index: 0, text: "")
        last.finishReason = "length"
        #expect(chat.chunk(last, announcesUsage: false).text.contains(#""delta":{},"logprobs":null,"finish_reason":"length""#))
        #expect(chat.answer([last], usage: AnswerUsage()).text.contains(#""object":"chat.completion""#))
        #expect(chat.answer([last], usage: AnswerUsage()).text.contains(#""message":{"role":"assistant","content":"","refusal":null}"#))
    }

    @Test func errors() {
        let error = APIError.unknownModel("nope")
        #expect(error.status == .notFound)
        #expect(error.body.text == #"{"error":{"message":"The model 'nope' does not exist; /v1/models lists those that do.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#)
        #expect(APIError(.badRequest, "x").body.text == #"{"error":{"message":"x","type":"invalid_request_error","param":null,"code":null}}"#)
    }

    @Test func models() {
        #expect(ModelCard.list([ModelCard(id: "a", created: 1, parent: "b", contextLength: 2)]).text
            == #"{"object":"list","data":[{"id":"a","object":"model","created":1,"owned_by":"berth","root":"b","parent":"b","max_model_len":2}]}"#)
    }
}
