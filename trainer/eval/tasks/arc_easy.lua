-- ARC-Easy: Clark et al. 2018, "Think you have solved question answering?", 2,376 questions of the test split.
-- Files have the question and labelled choices, or (OLMES) the finished query.
return {
  name = "arc_easy",
  kind = "multiple_choice",
  file = "arc_easy.jsonl",
  fields = {{"question", "choices.text", "choices.label", "answerKey"}, {"query", "choices", "gold"}},
  context = function(d) return d.query or "Question: " .. d.question .. "\nAnswer:" end,
  choices = function(d) return d.choices.text or d.choices end,
  gold = function(d)
    if d.gold then return d.gold end
    for i, label in ipairs(d.choices.label) do
      if label == d.answerKey then return i - 1 end
    end
  end,
  metrics = {"acc", "acc_norm"},
  ledger = {column = "arc_easy", metric = "acc"},
}
