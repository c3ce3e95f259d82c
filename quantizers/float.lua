-- Float: no quantisation, the reference that every other method is measured against.
--
-- Paper:           none; this is GPT-2 as it is (Radford et al., 2019).
-- Weights:         float32, as trained.
-- Levels:          none. Granularity: none.
-- Activations:     float32.
-- Bits a weight:   32.
-- Gradient:        exact.
--
-- A file without weight_quant leaves the weights alone, one without activation_quant the activations. So this file is
-- also the smallest quantizer there is.

-- BEGIN EDITABLE quantizer
local Q = {
  name = "float",
  doc = "no quantisation: float32 weights and activations",
}
-- END EDITABLE

-- BEGIN EDITABLE config
local CONFIG_OVERRIDES = {}
-- END EDITABLE

Q.config = CONFIG_OVERRIDES
return Q
