// What is refused at the door: requests that could never be served, told so at once and with the reason.

import BerthCore

extension Engine {
    /// The tokens that one request may have, prompt and output, if it had the pool to itself. `adapter` takes its own part.
    public func capacityTokens(adapter name: AdapterName? = nil) -> Int {
        var pages = min(pool.pageCount - registry.pinnedPages - pool.share(of: .expert).floorPages, pool.share(of: .kv).ceilingPages)
        if let name, case .adapter(let adapter) = registry.entries[name], !adapter.isPinned { pages -= adapter.pageCount }
        return min(model.contextLength, max(0, pages) * model.kvLayout.blockTokens)
    }

    func refusal(of request: GenerationRequest) -> GenerationFailure? {
        if isDraining { return GenerationFailure(.draining, "the daemon is shutting down and takes no new requests") }
        if active.count >= configuration.queuedRequests {
            return GenerationFailure(.overloaded, "\(active.count) requests are waiting or running already")
        }
        guard Limits.priorities.contains(request.priority) else {
            return GenerationFailure(.invalidRequest, "priority is \(request.priority); it must be between \(Limits.priorities.lowerBound) and \(Limits.priorities.upperBound)")
        }
        return faultInPrompt(of: request) ?? faultInSampling(request.sampling) ?? faultInAdapter(of: request) ?? faultInSize(of: request) ?? faultInShare(of: request)
    }

    private func faultInPrompt(of request: GenerationRequest) -> GenerationFailure? {
        let prompt = request.prompt
        guard !prompt.isEmpty else { return GenerationFailure(.invalidRequest, "the prompt has no tokens") }
        if let token = prompt.first(where: { $0 < 0 || Int($0) >= model.vocabularySize }) {
            return GenerationFailure(.invalidRequest, "token \(token) of the prompt is outside the vocabulary of \(model.vocabularySize)")
        }
        guard request.maxTokens >= 0 else { return GenerationFailure(.invalidRequest, "max_tokens is \(request.maxTokens), less than 0") }
        // A token more than the prompt must fit, where one is wanted.
        guard prompt.count + min(request.maxTokens, 1) <= model.contextLength else {
            return GenerationFailure(.invalidRequest, "the prompt has \(prompt.count) tokens and the context holds \(model.contextLength)")
        }
        if let logprobs = request.logprobs, !(0...Limits.topLogprobs).contains(logprobs) {
            return GenerationFailure(.invalidRequest, "\(logprobs) alternatives are asked for each token; 0 to \(Limits.topLogprobs) can be had")
        }
        guard request.stopStrings.count <= Limits.stopStrings, request.stopStrings.allSatisfy({ $0.utf8.count <= Limits.stopStringBytes }) else {
            return GenerationFailure(.invalidRequest, "more than \(Limits.stopStrings) stop strings, or one longer than \(Limits.stopStringBytes) bytes")
        }
        return nil
    }

    private func faultInSampling(_ sampling: SamplingParameters) -> GenerationFailure? {
        func fault(_ name: String, _ value: some CustomStringConvertible, _ rule: String) -> GenerationFailure {
            GenerationFailure(.invalidRequest, "\(name) is \(value); it must be \(rule)")
        }
        let numbers: [(String, Float, ClosedRange<Double>)] = [
            ("temperature", sampling.temperature, SamplingBounds.temperature), ("top_p", sampling.topP, SamplingBounds.topP),
            ("min_p", sampling.minP, SamplingBounds.minP), ("presence_penalty", sampling.presencePenalty, SamplingBounds.penalty),
            ("frequency_penalty", sampling.frequencyPenalty, SamplingBounds.penalty),
            ("repetition_penalty", sampling.repetitionPenalty, SamplingBounds.repetitionPenalty),
        ]
        for (name, value, bounds) in numbers where !bounds.contains(Double(value)) {
            return fault(name, value, "between \(bounds.lowerBound) and \(bounds.upperBound)")
        }
        if !SamplingBounds.topK.contains(sampling.topK) { return fault("top_k", sampling.topK, "-1, 0 or more") }
        guard sampling.logitBias.count <= Limits.logitBiasEntries else {
            return fault("logit_bias", "\(sampling.logitBias.count) entries long", "at most \(Limits.logitBiasEntries)")
        }
        for (token, bias) in sampling.logitBias.sorted(by: { $0.key < $1.key }) {
            if token < 0 || Int(token) >= model.vocabularySize {
                return GenerationFailure(.invalidRequest, "logit_bias names token \(token), outside the vocabulary of \(model.vocabularySize)")
            }
            // Minus infinity forbids a token; plus infinity would leave no distribution.
            if bias.isNaN || bias == .infinity { return fault("logit_bias of token \(token)", bias, "a finite number") }
        }
        return nil
    }

    private func faultInAdapter(of request: GenerationRequest) -> GenerationFailure? {
        guard let name = request.adapter else { return nil }
        switch registry.entries[name] {
        case nil: return GenerationFailure(.unknownAdapter, "there is no adapter \(name)")
        case .rejected(let reason): return GenerationFailure(.adapterRejected, "adapter \(name) cannot be used: \(reason)")
        case .adapter: return nil
        }
    }

    /// The last token's keys and values are never needed, so a request takes the pages of all its tokens but one.
    private func faultInSize(of request: GenerationRequest) -> GenerationFailure? {
        let tokens = min(model.contextLength, request.prompt.count.addingReportingOverflow(request.maxTokens).overflow ? .max : request.prompt.count + request.maxTokens)
        let capacity = capacityTokens(adapter: request.adapter)
        guard max(request.prompt.count, tokens - 1) <= capacity else {
            return GenerationFailure(
                .overloaded,
                "the request may grow to \(tokens) tokens (\(request.prompt.count) of prompt and up to \(request.maxTokens) more), and the memory pool holds "
                    + "\(capacity) for one request; ask for fewer or give the daemon more memory")
        }
        return nil
    }

    /// A tenant's ceiling holds for each of its requests.
    private func faultInShare(of request: GenerationRequest) -> GenerationFailure? {
        let ceiling = tenants.tenant(request.tenant).policy.kv.ceilingPages
        guard ceiling < pool.pageCount else { return nil }
        let tokens = min(model.contextLength, request.prompt.count + request.maxTokens)
        guard max(request.prompt.count, tokens - 1) > ceiling * model.kvLayout.blockTokens else { return nil }
        return GenerationFailure(
            .overloaded,
            "the request may grow to \(tokens) tokens, and \(request.tenant) may have \(ceiling * model.kvLayout.blockTokens) in memory; ask for fewer")
    }
}
