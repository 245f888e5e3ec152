// What the next layer will probably choose, seen from this one.
//
// Residual streams change little from layer to layer, so the router of layer l + 1 applied to the hidden rows of layer l names
// four of five of the experts that it will choose (reference: HOBBIT, AdapMoE; measured on our models by `GET /experts`). The guess costs
// a small product per row, is made only where a provider wants it, and never touches a result.

import BerthKernels

/// The router of a layer, for rows of the layer before.
struct Foresight {
    let norm: RMSNorm
    let mixture: MixtureOfExperts

    /// Rows that are worth it: more of them choose nearly all experts anyway.
    static let mostRows = 32

    /// Tells `provider` what the rows of `hidden` will probably choose. Uses scratch of its own and what `prepare` uses.
    func look(at hidden: Rows, _ provider: any ExpertProvider, _ step: Step) {
        guard step.rows <= Self.mostRows, provider.wantsForesight(ofLayer: mixture.layer, rows: step.rows) else { return }
        let x = step.scratch.foreseenRows.first(step.rows)
        norm(hidden, into: x, step.compute)
        provider.foresee(layer: mixture.layer, mixture.foresee(x, step))
    }
}
