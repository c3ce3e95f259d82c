-- ARC-Easy: Clark et al. 2018, "Think you have solved question answering?", 2,376 questions of the test split.
return {
  name = "arc_easy",
  kind = "multiple_choice",
  file = "arc_easy.jsonl",
  fields = {"question", "choices", "answerKey"},
  context = "Question: {question}\nAnswer:",
  choices = "choices.text",
  gold = function(d)
    for i, label in ipairs(d.choices.label) do
      if label == d.answerKey then return i - 1 end
    end
  end,
  metrics = {"acc", "acc_norm"},
}
