// The JavaScript package, unchanged; prints what it got as one JSON document.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Who are you?" }];
const short = { model: "demo", messages, max_tokens: 12, temperature: 0 };
const told = {};

const plain = await client.chat.completions.create(short);
told.plain = plain.choices[0].message.content;
told.usage = plain.usage;

told.streamed = "";
const stream = await client.chat.completions.create({
  ...short,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  told.streamed += chunk.choices[0]?.delta.content ?? "";
  told.streamed_usage = chunk.usage;
}

const runner = client.chat.completions.stream(short);
told.collected = (await runner.finalChatCompletion()).choices[0].message.content;

const vectors = await client.embeddings.create({ model: "demo", input: ["a", "b"] });
told.dimensions = vectors.data.map((row) => row.embedding.length);

told.models = (await client.models.list()).data.map((card) => card.id);

async function failure(ask) {
  try {
    await ask();
    return null;
  } catch (error) {
    return { class: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
}
told.unknown = await failure(() => client.chat.completions.create({ ...short, model: "demmo" }));
told.refused = await failure(() => client.chat.completions.create({ ...short, n: 2 }));

const slow = await client.chat.completions.create({ model: "slow", messages, stream: true });
for await (const chunk of slow) {
  if (chunk.choices[0].delta.content) break; // leaving the loop closes the stream
}
console.log(JSON.stringify(told));
