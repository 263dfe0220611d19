//! Calls of any RPC by its descriptor, natively and over REST, from one JSON form of the request.

use std::sync::LazyLock;

use anyhow::{Context as _, Result, anyhow};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tenantry_proto::methods::{Binding, Method};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::{Answer, Rest};
use tokio_stream::StreamExt as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataKey, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(tenantry_proto::INTERNAL_DESCRIPTOR_SET).unwrap());

/// An answer to a native call: the messages, and how it ended.
#[derive(Debug)]
pub struct Native {
    pub messages: Vec<Value>,
    pub status: Status,
    /// The gateway's id of the request.
    pub request_id: String,
}

impl Native {
    pub fn is_ok(&self) -> bool {
        self.status.code() == tonic::Code::Ok
    }

    /// All that a caller can tell answers apart by.
    pub fn bytes(&self) -> (i32, String, Vec<u8>, Vec<Value>) {
        (
            self.status.code().into(),
            self.status.message().to_owned(),
            self.status.details().to_vec(),
            self.messages.clone(),
        )
    }
}

pub async fn channel(address: std::net::SocketAddr) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?)
}

/// A method by its path.
pub fn descriptor(path: &str) -> Result<MethodDescriptor> {
    let (service, method) = path
        .trim_start_matches('/')
        .split_once('/')
        .context("no method path")?;
    POOL.get_service_by_name(service)
        .and_then(|service| service.methods().find(|m| m.name() == method))
        .ok_or_else(|| anyhow!("no method {path}"))
}

/// Calls a method natively. Of a stream the first message is read, or its end.
pub async fn native(
    channel: &Channel,
    path: &str,
    message: &Value,
    headers: &[(&str, &str)],
) -> Result<Native> {
    let method = descriptor(path)?;
    let message = DynamicMessage::deserialize(method.input(), message.clone())
        .with_context(|| format!("{path} {message}"))?;
    let mut request = Request::new(message);
    for (name, value) in headers {
        let name: MetadataKey<Ascii> = name.parse()?;
        request.metadata_mut().append(name, value.parse()?);
    }
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = DynamicCodec(method.output());
    let path = path.parse()?;
    let mut request_id = String::new();
    let outcome = if method.is_server_streaming() {
        match grpc.server_streaming(request, path, codec).await {
            Ok(response) => {
                request_id = id_of(response.metadata());
                match response.into_inner().next().await {
                    Some(first) => first.map(|message| vec![message]),
                    None => Ok(Vec::new()),
                }
            }
            Err(status) => Err(status),
        }
    } else {
        grpc.unary(request, path, codec).await.map(|response| {
            request_id = id_of(response.metadata());
            vec![response.into_inner()]
        })
    };
    Ok(match outcome {
        Ok(messages) => Native {
            messages: messages
                .iter()
                .map(serde_json::to_value)
                .collect::<Result<_, _>>()?,
            status: Status::ok(""),
            request_id,
        },
        Err(status) => Native {
            messages: Vec::new(),
            request_id: id_of(status.metadata()),
            status,
        },
    })
}

/// What the gateway says in its answer of the request.
fn id_of(metadata: &MetadataMap) -> String {
    let id = metadata.get("x-request-id").and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// Sends the same request over one REST binding: path fields into the path, the rest into body or query.
pub async fn rest(client: &Rest, binding: &Binding, message: &Value) -> Result<Answer> {
    let mut fields = message.as_object().cloned().unwrap_or_default();
    let mut path = String::new();
    let mut rest = binding.template;
    while let Some((before, after)) = rest.split_once('{') {
        let (field, after) = after.split_once('}').context("template")?;
        path.push_str(before);
        path.push_str(
            fields
                .remove(field)
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or("-"),
        );
        rest = after;
    }
    path.push_str(rest);
    let method: reqwest::Method = binding.method.parse()?;
    if binding.body == "*" {
        return client
            .send(method, &path, Some(Value::Object(fields).to_string()))
            .await;
    }
    let query: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", encode(&value))
        })
        .collect();
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    client.send(method, &path, None).await
}

/// Percent-encodes a query value (RFC 3986).
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                (b as char).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// Every method of the gateway, with its path.
pub fn gateway_methods() -> Vec<&'static Method> {
    tenantry_proto::methods::gateway().collect()
}

pub async fn gateway_channel(fleet: &Fleet) -> Result<Channel> {
    channel(fleet.gateway_address()).await
}

#[derive(Clone)]
struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicCodec;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicCodec {
        self.clone()
    }
}

struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(dst)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), src)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
