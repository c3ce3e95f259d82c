-- HellaSwag: Zellers et al. 2019, "Can a machine really finish your sentence?", 10,042 documents of the validation split.
-- Files have the parts, or (OLMES) the finished query.

local function clean(text)  -- brackets are left over from WikiHow
  text = text:match("^%s*(.-)%s*$")
  text = text:gsub(" %[title%]", ". ")
  text = text:gsub("%[[^\n]-%]", "")
  return (text:gsub("  ", " "))
end

return {
  name = "hellaswag",
  kind = "multiple_choice",
  file = "hellaswag.jsonl",
  fields = {{"activity_label", "ctx_a", "ctx_b", "endings", "label"}, {"query", "choices", "gold"}},
  context = function(d)
    if d.query then return d.query end
    local capital = d.ctx_b:sub(1, 1):upper() .. d.ctx_b:sub(2):lower()
    return clean(d.activity_label .. ": " .. d.ctx_a .. " " .. capital)
  end,
  choices = function(d)
    if d.choices then return d.choices end
    local cleaned = {}
    for i, ending in ipairs(d.endings) do cleaned[i] = clean(ending) end
    return cleaned
  end,
  gold = function(d) return d.gold or d.label end,
  metrics = {"acc", "acc_norm"},
  ledger = {column = "hellaswag", metric = "acc"},
}
