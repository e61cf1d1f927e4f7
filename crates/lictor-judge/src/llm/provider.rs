// SPDX-License-Identifier: Apache-2.0
//! Three protocols: what is sent, and how the model's text is taken out of what comes back, whole or piece by piece.
//!
//! The envelope is read leniently (providers add fields), its parts that matter strictly. What is in it is the business
//! of [`super::answer`].

use lictor_api::settings::llm::{Llm, Provider};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer;
use super::http::Trouble;

/// The name of the tool by which an Anthropic model answers.
const TOOL: &str = "give_verdict";

/// Path below the base URL.
pub(crate) fn path(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenAi => "chat/completions",
        Provider::Ollama => "api/chat",
        Provider::Anthropic => "v1/messages",
    }
}

/// The header that carries the key: its name, and what stands before the key.
pub(crate) fn key_header(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::OpenAi | Provider::Ollama => ("authorization", "Bearer "),
        Provider::Anthropic => ("x-api-key", ""),
    }
}

/// The body of the request.
pub(crate) fn body(settings: &Llm, system: &str, question: &str) -> Value {
    let hosted_by_openai = settings.base_url.url().host_str() == Some("api.openai.com");
    match settings.provider {
        Provider::OpenAi => {
            // OpenAI's strict mode refuses bounds; other servers turn them into a grammar.
            let schema = if hosted_by_openai { answer::plain_schema() } else { answer::bounded_schema() };
            let mut body = json!({
                "model": settings.model,
                "stream": settings.stream,
                "messages": [{ "role": "system", "content": system }, { "role": "user", "content": question }],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": { "name": "verdict", "strict": true, "schema": schema },
                },
            });
            if hosted_by_openai {
                // Its reasoning models refuse the older name, and any temperature but their own.
                body["max_completion_tokens"] = settings.max_tokens.into();
            } else {
                body["max_tokens"] = settings.max_tokens.into();
                body["temperature"] = 0.into();
            }
            body
        }
        Provider::Ollama => json!({
            "model": settings.model,
            "stream": settings.stream,
            "messages": [{ "role": "system", "content": system }, { "role": "user", "content": question }],
            "format": answer::bounded_schema(),
            "options": { "temperature": 0, "num_predict": settings.max_tokens },
        }),
        Provider::Anthropic => json!({
            "model": settings.model,
            "stream": settings.stream,
            "max_tokens": settings.max_tokens,
            "system": system,
            "messages": [{ "role": "user", "content": question }],
            "tools": [{
                "name": TOOL,
                "description": "Gives the verdict on the action. The only way to answer.",
                "input_schema": answer::plain_schema(),
            }],
            "tool_choice": { "type": "tool", "name": TOOL },
        }),
    }
}

/// Reads an answer in whatever pieces it comes.
pub(crate) struct Reader {
    provider: Provider,
    form: Form,
    /// Bytes of a line that has not ended; of the whole answer when it is plain.
    rest: Vec<u8>,
    /// `data:` lines of the server-sent event that is being read.
    event: Option<String>,
    said: Said,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// Server-sent events.
    Sse,
    /// One JSON document a line.
    Lines,
}

/// What has been understood so far.
#[derive(Default)]
struct Said {
    text: String,
    /// Input of the verdict tool, as text: it is read strictly, as text is.
    tool: Option<String>,
    tool_at: Option<u64>,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    TooLong,
    Refused,
}

impl Reader {
    /// For an answer of this content type, which decides whether it comes in pieces: a server may not do as asked.
    pub(crate) fn new(provider: Provider, content_type: &str) -> Result<Reader, Trouble> {
        let form = match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/event-stream" => Form::Sse,
            "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Form::Lines,
            "application/json" => Form::Plain,
            other => {
                // Only what has the form of a type is repeated.
                let plain = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'/' | b'-' | b'+' | b'.');
                let shown = match other {
                    "" => "of no type",
                    other if other.len() <= 40 && other.contains('/') && other.bytes().all(plain) => {
                        &format!("of type `{other}`")
                    }
                    _ => "of an odd type",
                };
                return Err(Trouble::Malformed(format!("it is {shown} instead of JSON: is base_url right?")));
            }
        };
        Ok(Reader { provider, form, rest: Vec::new(), event: None, said: Said::default() })
    }

    /// Takes the next bytes. `true` when the answer is complete, so that nothing more needs to be read.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<bool, Trouble> {
        self.rest.extend_from_slice(bytes);
        if self.form == Form::Plain {
            return Ok(false);
        }
        let mut taken = 0;
        let mut done = false;
        while !done && let Some(length) = self.rest[taken..].iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(&self.rest[taken..taken + length])
                .map_err(|_| Trouble::Malformed("it is not valid UTF-8".to_owned()))?
                .trim_end_matches('\r')
                .to_owned();
            taken += length + 1;
            done = self.line(&line)?;
        }
        if done {
            // What a server sends after the end is nobody's business.
            self.rest.clear();
        } else {
            self.rest.drain(..taken);
        }
        Ok(done)
    }

    fn line(&mut self, line: &str) -> Result<bool, Trouble> {
        match self.form {
            Form::Lines if line.trim().is_empty() => Ok(false),
            Form::Lines => self.document(line),
            _ if line.is_empty() => match self.event.take() {
                Some(data) if data == "[DONE]" => Ok(true),
                Some(data) => self.document(&data),
                None => Ok(false),
            },
            _ => {
                if let Some(data) = line.strip_prefix("data:") {
                    let data = data.strip_prefix(' ').unwrap_or(data);
                    match &mut self.event {
                        Some(event) => {
                            event.push('\n');
                            event.push_str(data);
                        }
                        None => self.event = Some(data.to_owned()),
                    }
                }
                Ok(false)
            }
        }
    }

    /// The model's text after the last byte. An answer that broke off is an error.
    pub(crate) fn finish(mut self) -> Result<String, Trouble> {
        let rest = std::mem::take(&mut self.rest);
        let rest = String::from_utf8(rest).map_err(|_| Trouble::Malformed("it is not valid UTF-8".to_owned()))?;
        match self.form {
            Form::Plain if rest.trim().is_empty() => return Err(Trouble::Cut("it is empty".to_owned())),
            Form::Plain => self.plain(&rest)?,
            // The last line may lack its end; what is no whole document then was cut off.
            Form::Lines if !rest.trim().is_empty() && self.said.end.is_none() => {
                self.document(&rest).map_err(|_| Trouble::Cut("it ends within a line".to_owned()))?;
            }
            _ => {}
        }
        match self.said.end {
            None => Err(Trouble::Cut("it ends before the model has ended".to_owned())),
            Some(End::TooLong) => {
                Err(Trouble::Invalid("the model did not come to an end within max_tokens".to_owned()))
            }
            Some(End::Refused) => Err(Trouble::Invalid("the model refused to answer".to_owned())),
            Some(End::Whole) => Ok(self.said.tool.unwrap_or(self.said.text)),
        }
    }

    fn plain(&mut self, text: &str) -> Result<(), Trouble> {
        match self.provider {
            Provider::OpenAi => {
                let reply: openai::Reply = envelope(text)?;
                self.said.openai(reply)
            }
            Provider::Ollama => self.said.ollama(envelope(text)?),
            Provider::Anthropic => self.said.anthropic_whole(envelope(text)?),
        }
    }

    fn document(&mut self, text: &str) -> Result<bool, Trouble> {
        match self.provider {
            Provider::OpenAi => {
                let reply: openai::Reply = envelope(text)?;
                // What comes after the end (usage, timings) is not waited for.
                self.said.openai(reply)?;
            }
            Provider::Ollama => self.said.ollama(envelope(text)?)?,
            Provider::Anthropic => return self.said.anthropic_piece(envelope(text)?),
        }
        Ok(self.said.end.is_some())
    }
}

fn envelope<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| {
        Trouble::Malformed(format!(
            "its envelope is not of the protocol (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}

mod openai {
    use super::*;

    #[derive(Deserialize)]
    pub(super) struct Reply {
        #[serde(default)]
        pub(super) choices: Vec<Choice>,
        #[serde(default)]
        pub(super) error: Option<Value>,
    }

    #[derive(Deserialize)]
    pub(super) struct Choice {
        #[serde(default)]
        pub(super) index: u64,
        #[serde(default)]
        pub(super) message: Option<Message>,
        #[serde(default)]
        pub(super) delta: Option<Message>,
        #[serde(default)]
        pub(super) finish_reason: Option<String>,
    }

    #[derive(Deserialize)]
    pub(super) struct Message {
        #[serde(default)]
        pub(super) content: Option<String>,
        #[serde(default)]
        pub(super) refusal: Option<String>,
    }
}

#[derive(Deserialize)]
struct OllamaReply {
    #[serde(default)]
    message: Option<openai::Message>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct AnthropicReply<'a> {
    #[serde(default, borrow)]
    content: Option<Vec<Block<'a>>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// Kept as text: turning it into a value would lose fields that are there twice.
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnthropicEvent<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, borrow)]
    content_block: Option<Block<'a>>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
}

impl Said {
    fn openai(&mut self, reply: openai::Reply) -> Result<(), Trouble> {
        if let Some(error) = reply.error {
            return Err(provider_error(&error));
        }
        for choice in reply.choices {
            if choice.index != 0 {
                return Err(Trouble::Malformed("it holds more than one answer".to_owned()));
            }
            for message in choice.message.into_iter().chain(choice.delta) {
                self.text.push_str(message.content.as_deref().unwrap_or_default());
                if message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
                    self.end = Some(End::Refused);
                }
            }
            match choice.finish_reason.as_deref() {
                None | Some("") => {}
                Some("stop" | "eos") => self.end = self.end.or(Some(End::Whole)),
                Some("length") => self.end = Some(End::TooLong),
                Some("content_filter") => self.end = Some(End::Refused),
                Some(_) => {
                    return Err(Trouble::Malformed(
                        "the model ended for a reason that is not of the protocol".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn ollama(&mut self, reply: OllamaReply) -> Result<(), Trouble> {
        if let Some(error) = reply.error {
            return Err(provider_error(&error));
        }
        if let Some(message) = reply.message {
            self.text.push_str(message.content.as_deref().unwrap_or_default());
        }
        if reply.done {
            self.end = Some(match reply.done_reason.as_deref() {
                None | Some("stop" | "") => End::Whole,
                Some("length") => End::TooLong,
                Some(_) => {
                    return Err(Trouble::Malformed(
                        "the model ended for a reason that is not of the protocol".to_owned(),
                    ));
                }
            });
        }
        Ok(())
    }

    fn anthropic_whole(&mut self, reply: AnthropicReply<'_>) -> Result<(), Trouble> {
        if let Some(error) = reply.error {
            return Err(provider_error(&error));
        }
        for (at, block) in reply.content.into_iter().flatten().enumerate() {
            self.anthropic_block(at as u64, &block)?;
        }
        self.anthropic_end(reply.stop_reason.as_deref())
    }

    fn anthropic_block(&mut self, at: u64, block: &Block<'_>) -> Result<(), Trouble> {
        match block.kind.as_str() {
            "text" => self.text.push_str(block.text.as_deref().unwrap_or_default()),
            "tool_use" if self.tool.is_some() => return Err(Trouble::Invalid("there are two verdicts".to_owned())),
            "tool_use" if block.name.as_deref() != Some(TOOL) => {
                return Err(Trouble::Invalid("the model used a tool that it was not given".to_owned()));
            }
            "tool_use" => {
                self.tool = Some(block.input.map_or_else(String::new, |input| input.get().to_owned()));
                self.tool_at = Some(at);
            }
            // Thinking, and what else may come, is not the answer.
            _ => {}
        }
        Ok(())
    }

    fn anthropic_end(&mut self, reason: Option<&str>) -> Result<(), Trouble> {
        self.end = match reason {
            None => self.end,
            Some("end_turn" | "tool_use" | "stop_sequence") => Some(End::Whole),
            Some("max_tokens" | "model_context_window_exceeded") => Some(End::TooLong),
            Some("refusal") => Some(End::Refused),
            Some(_) => {
                return Err(Trouble::Malformed("the model ended for a reason that is not of the protocol".to_owned()));
            }
        };
        Ok(())
    }

    fn anthropic_piece(&mut self, event: AnthropicEvent<'_>) -> Result<bool, Trouble> {
        match event.kind.as_str() {
            "error" => return Err(provider_error(&event.error.unwrap_or_default())),
            "content_block_start" => {
                let at = event.index.unwrap_or_default();
                if let Some(block) = &event.content_block {
                    self.anthropic_block(at, block)?;
                    // The input that comes with the start is a placeholder; the pieces are the real one.
                    if self.tool_at == Some(at) {
                        self.tool = Some(String::new());
                    }
                }
            }
            "content_block_delta" => {
                let delta = event.delta.ok_or_else(|| Trouble::Malformed("a piece of it is empty".to_owned()))?;
                self.text.push_str(delta.text.as_deref().unwrap_or_default());
                if let (Some(json), true, Some(tool)) =
                    (delta.partial_json, event.index == self.tool_at, &mut self.tool)
                {
                    tool.push_str(&json);
                }
            }
            "message_delta" => self.anthropic_end(event.delta.and_then(|delta| delta.stop_reason).as_deref())?,
            "message_stop" => return Ok(true),
            _ => {}
        }
        Ok(false)
    }
}

/// An error inside of an answer that began as a success. Its text may repeat what was sent, so only its type is told.
fn provider_error(error: &Value) -> Trouble {
    let word = |value: &Value| {
        let word = value.as_str()?;
        let plain = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain.then(|| word.to_owned())
    };
    let kind = ["type", "code", "status"]
        .iter()
        .find_map(|name| word(&error[name]))
        .unwrap_or_else(|| "no type given".to_owned());
    Trouble::Provider(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that comes out of `bytes`, however they are cut into pieces.
    fn read(provider: Provider, content_type: &str, bytes: &str) -> Result<String, String> {
        let mut results: Vec<Result<String, String>> = [1, 2, 7, bytes.len().max(1)]
            .into_iter()
            .map(|size| {
                let mut reader = Reader::new(provider, content_type).map_err(|trouble| trouble.to_string())?;
                for piece in bytes.as_bytes().chunks(size) {
                    if reader.push(piece).map_err(|trouble| trouble.to_string())? {
                        break;
                    }
                }
                reader.finish().map_err(|trouble| trouble.to_string())
            })
            .collect();
        results.dedup();
        assert_eq!(results.len(), 1, "{results:?}");
        results.remove(0)
    }

    const SSE: &str = "text/event-stream; charset=utf-8";
    const JSON: &str = "application/json";

    #[test]
    fn openai_whole_and_in_pieces() {
        let read = |kind: &str, bytes: &str| read(Provider::OpenAi, kind, bytes);
        let whole = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"{}"},"finish_reason":"stop"}],"usage":{}}"#;
        assert_eq!(read(JSON, whole).unwrap(), "{}");
        let pieces = ": ping\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"{\u{fc}\"}}]}\n\n\
             data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"}\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        assert_eq!(read(SSE, pieces).unwrap(), "{\u{fc}}");
        let cut = pieces.split("data: {\"choices\":[{\"delta\":{},").next().unwrap();
        assert!(read(SSE, cut).unwrap_err().contains("before the model has ended"));
        assert!(read(JSON, &whole[..40]).unwrap_err().contains("envelope"));
        assert!(read(JSON, &whole.replace("\"stop\"", "\"length\"")).unwrap_err().contains("max_tokens"));
        assert!(read(JSON, &whole.replace("\"stop\"", "\"content_filter\"")).unwrap_err().contains("refused"));
        assert!(read(JSON, &whole.replace("\"stop\"", "\"tool_calls\"")).unwrap_err().contains("reason"));
        assert!(read(JSON, "{}").unwrap_err().contains("before the model has ended"));
        assert!(read(JSON, "").unwrap_err().contains("empty"));
        assert!(read("text/html", "<html>").unwrap_err().contains("`text/html`"));
        let error =
            read(SSE, "data: {\"error\":{\"type\":\"server_error\",\"message\":\"sk-secret\"}}\n\n").unwrap_err();
        assert!(error.contains("server_error") && !error.contains("sk-secret"), "{error}");
    }

    #[test]
    fn ollama_whole_and_in_pieces() {
        let read = |kind: &str, bytes: &str| read(Provider::Ollama, kind, bytes);
        assert_eq!(read(JSON, r#"{"message":{"content":"{}"},"done":true,"done_reason":"stop"}"#).unwrap(), "{}");
        let pieces = "{\"message\":{\"content\":\"{\"},\"done\":false}\n{\"message\":{\"content\":\"}\"},\"done\":false}\n{\"done\":true,\"done_reason\":\"stop\"}";
        assert_eq!(read("application/x-ndjson", pieces).unwrap(), "{}");
        assert!(read("application/x-ndjson", &pieces[..60]).unwrap_err().contains("within a line"));
        assert!(
            read("application/x-ndjson", "{\"error\":\"model not found\"}\n").unwrap_err().contains("no type given")
        );
    }

    #[test]
    fn anthropic_whole_and_in_pieces() {
        let read = |kind: &str, bytes: &str| read(Provider::Anthropic, kind, bytes);
        let whole = r#"{"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"I say"},{"type":"tool_use","id":"t","name":"give_verdict","input":{"a":1,"a":2}}],"stop_reason":"tool_use"}"#;
        assert_eq!(read(JSON, whole).unwrap(), r#"{"a":1,"a":2}"#, "as it was written, twice");
        let pieces = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n\
             data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"give_verdict\",\"input\":{}}}\n\n\
             data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n\n\
             data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}}\n\n\
             data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
        assert_eq!(read(SSE, pieces).unwrap(), "{\"a\":1}");
        assert_eq!(read(JSON, r#"{"content":[{"type":"text","text":"{}"}],"stop_reason":"end_turn"}"#).unwrap(), "{}");
        assert!(read(JSON, &whole.replace("give_verdict", "rm")).unwrap_err().contains("not given"));
        let twice = whole
            .replace(r#"{"type":"text","text":"I say"}"#, r#"{"type":"tool_use","name":"give_verdict","input":{}}"#);
        assert!(read(JSON, &twice).unwrap_err().contains("two verdicts"));
        assert!(read(JSON, &whole.replace("\"tool_use\"}", "\"refusal\"}")).unwrap_err().contains("refused"));
        let overloaded =
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
        assert!(read(SSE, overloaded).unwrap_err().contains("overloaded_error"));
    }

    proptest::proptest! {
        /// Pieces of each protocol in any order, cut anywhere: an answer or a trouble, the same for every way of cutting.
        #[test]
        fn no_bytes_break_the_reader(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "data: ", "\n\n", "\n", "{", "}", "\"", "[DONE]", "event: x\n", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
                "{\"choices\":[{\"finish_reason\":\"stop\"}]}", "{\"done\":true}", "{\"message\":{\"content\":\"b\"}}",
                "{\"type\":\"message_stop\"}", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}",
                "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\"}}", "\u{fc}", "\r\n", ":",
            ]), 0..24),
        ) {
            let bytes = pieces.concat();
            for provider in Provider::ALL {
                for kind in [SSE, JSON, "application/x-ndjson"] {
                    let _ = read(*provider, kind, &bytes);
                }
            }
        }
    }
}
