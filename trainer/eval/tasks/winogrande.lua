-- WinoGrande: Sakaguchi et al. 2020, "An adversarial Winograd schema challenge at scale", 1,267 of the development split.
-- Partial scoring (Trinh & Le 2018): what follows the gap is the same for both, and so is the text that is scored.

local function gap(d) return d.sentence:find("_", 1, true) end

return {
  name = "winogrande",
  kind = "multiple_choice",
  file = "winogrande.jsonl",
  fields = {"sentence", "option1", "option2", "answer"},
  contexts = function(d)
    local before = d.sentence:sub(1, gap(d) - 1)
    return {before .. d.option1, before .. d.option2}
  end,
  continuation = function(d) return d.sentence:sub(gap(d) + 1):match("^%s*(.-)%s*$") end,
  gold = function(d) return tonumber(d.answer) - 1 end,
  metrics = {"acc"},
  ledger = {column = "winogrande", metric = "acc"},
}
