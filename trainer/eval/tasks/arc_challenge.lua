-- ARC-Challenge: Clark et al. 2018, "Think you have solved question answering?", 1,172 questions of the test split.
return {
  name = "arc_challenge",
  kind = "multiple_choice",
  file = "arc_challenge.jsonl",
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
