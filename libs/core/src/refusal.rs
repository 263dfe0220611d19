//! Why a request is refused: a stable reason for programs and a sentence for people that says what to do.

use std::fmt;

/// The kinds of refusal, each one status code of gRPC and one of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INVALID_ARGUMENT, 400.
    InvalidArgument,
    /// UNAUTHENTICATED, 401.
    Unauthenticated,
    /// PERMISSION_DENIED, 403.
    PermissionDenied,
    /// UNIMPLEMENTED, 501.
    Unimplemented,
    /// NOT_FOUND, 404.
    NotFound,
    /// ALREADY_EXISTS, 409.
    AlreadyExists,
    /// ABORTED, 409.
    Aborted,
    /// FAILED_PRECONDITION, 400.
    FailedPrecondition,
    /// OUT_OF_RANGE, 400.
    OutOfRange,
    /// RESOURCE_EXHAUSTED, 429.
    ResourceExhausted,
    /// UNAVAILABLE, 503.
    Unavailable,
    /// DEADLINE_EXCEEDED, 504.
    DeadlineExceeded,
    /// INTERNAL, 500.
    Internal,
}

macro_rules! reasons {
    ($($name:ident = $word:literal, $kind:ident;)*) => {
        /// The stable cause of a refusal; the words are those of `tenantry.errors.v1.Reason`, where each is explained.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Reason { $($name,)* }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word that travels in `ErrorInfo.reason`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The kind of refusal that this reason always is.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }
        }
    };
}

reasons! {
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument;
    InvalidFilter = "INVALID_FILTER", InvalidArgument;
    InvalidOrderBy = "INVALID_ORDER_BY", InvalidArgument;
    InvalidPageToken = "INVALID_PAGE_TOKEN", InvalidArgument;
    NothingToUpdate = "NOTHING_TO_UPDATE", InvalidArgument;
    RequestIdConflict = "REQUEST_ID_CONFLICT", InvalidArgument;
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument;
    InvalidResumeToken = "INVALID_RESUME_TOKEN", InvalidArgument;
    ResumeTokenTooOld = "RESUME_TOKEN_TOO_OLD", OutOfRange;
    UnknownPath = "UNKNOWN_PATH", NotFound;
    BodyTooLarge = "BODY_TOO_LARGE", InvalidArgument;
    HeadersTooLarge = "HEADERS_TOO_LARGE", InvalidArgument;
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated;
    BadCredentials = "BAD_CREDENTIALS", Unauthenticated;
    CredentialExpired = "CREDENTIAL_EXPIRED", Unauthenticated;
    CredentialRevoked = "CREDENTIAL_REVOKED", Unauthenticated;
    CredentialConflict = "CREDENTIAL_CONFLICT", Unauthenticated;
    BootstrapTokenInvalid = "BOOTSTRAP_TOKEN_INVALID", Unauthenticated;
    ResetTokenInvalid = "RESET_TOKEN_INVALID", Unauthenticated;
    ExternalSignInFailed = "EXTERNAL_SIGN_IN_FAILED", Unauthenticated;
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied;
    TenantSuspended = "TENANT_SUSPENDED", PermissionDenied;
    TenantArchived = "TENANT_ARCHIVED", PermissionDenied;
    TenantProvisioning = "TENANT_PROVISIONING", PermissionDenied;
    SignUpClosed = "SIGN_UP_CLOSED", PermissionDenied;
    SignInBound = "SIGN_IN_BOUND", PermissionDenied;
    InvitationForAnother = "INVITATION_FOR_ANOTHER", PermissionDenied;
    GrantExceedsOwn = "GRANT_EXCEEDS_OWN", PermissionDenied;
    InternalMethod = "INTERNAL_METHOD", PermissionDenied;
    UnknownMethod = "UNKNOWN_METHOD", Unimplemented;
    TenantRequired = "TENANT_REQUIRED", InvalidArgument;
    TenantConflict = "TENANT_CONFLICT", InvalidArgument;
    TenantNotFound = "TENANT_NOT_FOUND", NotFound;
    ProjectNotFound = "PROJECT_NOT_FOUND", NotFound;
    PlanNotFound = "PLAN_NOT_FOUND", NotFound;
    UserNotFound = "USER_NOT_FOUND", NotFound;
    ApiKeyNotFound = "API_KEY_NOT_FOUND", NotFound;
    LegalHoldNotFound = "LEGAL_HOLD_NOT_FOUND", NotFound;
    ImportNotFound = "IMPORT_NOT_FOUND", NotFound;
    ServiceAccountNotFound = "SERVICE_ACCOUNT_NOT_FOUND", NotFound;
    OperatorNotFound = "OPERATOR_NOT_FOUND", NotFound;
    ParentNotFound = "PARENT_NOT_FOUND", NotFound;
    InvitationNotFound = "INVITATION_NOT_FOUND", NotFound;
    RoleNotFound = "ROLE_NOT_FOUND", NotFound;
    DomainNotFound = "DOMAIN_NOT_FOUND", NotFound;
    SessionNotFound = "SESSION_NOT_FOUND", NotFound;
    IdentityProviderNotFound = "IDENTITY_PROVIDER_NOT_FOUND", NotFound;
    EventNotFound = "EVENT_NOT_FOUND", NotFound;
    SlugTaken = "SLUG_TAKEN", AlreadyExists;
    SlugReserved = "SLUG_RESERVED", InvalidArgument;
    MemberExists = "MEMBER_EXISTS", AlreadyExists;
    ProjectExists = "PROJECT_EXISTS", AlreadyExists;
    OperatorExists = "OPERATOR_EXISTS", AlreadyExists;
    ExternalIdTaken = "EXTERNAL_ID_TAKEN", AlreadyExists;
    InvitationExists = "INVITATION_EXISTS", AlreadyExists;
    PlanExists = "PLAN_EXISTS", AlreadyExists;
    RoleExists = "ROLE_EXISTS", AlreadyExists;
    DomainTaken = "DOMAIN_TAKEN", AlreadyExists;
    DomainReserved = "DOMAIN_RESERVED", InvalidArgument;
    ServiceAccountExists = "SERVICE_ACCOUNT_EXISTS", AlreadyExists;
    IdentityProviderExists = "IDENTITY_PROVIDER_EXISTS", AlreadyExists;
    UsernameTaken = "USERNAME_TAKEN", AlreadyExists;
    EtagMismatch = "ETAG_MISMATCH", Aborted;
    StatusForbids = "STATUS_FORBIDS", FailedPrecondition;
    TenantHasChildren = "TENANT_HAS_CHILDREN", FailedPrecondition;
    LastOwner = "LAST_OWNER", FailedPrecondition;
    HierarchyTooDeep = "HIERARCHY_TOO_DEEP", FailedPrecondition;
    LegalHold = "LEGAL_HOLD", FailedPrecondition;
    HierarchyCycle = "HIERARCHY_CYCLE", FailedPrecondition;
    TooManyChildren = "TOO_MANY_CHILDREN", FailedPrecondition;
    LimitReached = "LIMIT_REACHED", FailedPrecondition;
    AlreadyBootstrapped = "ALREADY_BOOTSTRAPPED", FailedPrecondition;
    InvitationRequired = "INVITATION_REQUIRED", FailedPrecondition;
    MailOff = "MAIL_OFF", FailedPrecondition;
    RoleInUse = "ROLE_IN_USE", FailedPrecondition;
    LastRole = "LAST_ROLE", FailedPrecondition;
    DomainNotVerified = "DOMAIN_NOT_VERIFIED", FailedPrecondition;
    LastOperator = "LAST_OPERATOR", FailedPrecondition;
    ApiKeyEnded = "API_KEY_ENDED", FailedPrecondition;
    SourceNotStopped = "SOURCE_NOT_STOPPED", FailedPrecondition;
    NotYetCheckpointed = "NOT_YET_CHECKPOINTED", FailedPrecondition;
    Overloaded = "OVERLOADED", ResourceExhausted;
    SecretAlreadyShown = "SECRET_ALREADY_SHOWN", FailedPrecondition;
    Unavailable = "UNAVAILABLE", Unavailable;
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded;
    Internal = "INTERNAL", Internal;
    StreamLifetimeReached = "STREAM_LIFETIME_REACHED", Unavailable;
    StreamTenantStatus = "STREAM_TENANT_STATUS", PermissionDenied;
    StreamCredentialEnded = "STREAM_CREDENTIAL_ENDED", Unauthenticated;
    StreamRightsChanged = "STREAM_RIGHTS_CHANGED", Unavailable;
    SignUpLimitReached = "SIGN_UP_LIMIT_REACHED", ResourceExhausted;
    SignInLocked = "SIGN_IN_LOCKED", ResourceExhausted;
    QuotaExceeded = "QUOTA_EXCEEDED", ResourceExhausted;
    LimitBelowUsage = "LIMIT_BELOW_USAGE", FailedPrecondition;
    LimitOverrideNotFound = "LIMIT_OVERRIDE_NOT_FOUND", NotFound;
    ReleaseBeyondUsage = "RELEASE_BEYOND_USAGE", FailedPrecondition;
    NotAGauge = "NOT_A_GAUGE", FailedPrecondition;
    ReservationNotFound = "RESERVATION_NOT_FOUND", NotFound;
    ReservationEnded = "RESERVATION_ENDED", FailedPrecondition;
    CountedByFleet = "COUNTED_BY_FLEET", FailedPrecondition;
    UsageNotFound = "USAGE_NOT_FOUND", NotFound;
    UsageNotCorrectable = "USAGE_NOT_CORRECTABLE", FailedPrecondition;
}

/// A request refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable cause.
    pub reason: Reason,
    /// What is wrong and what to do, for people. Never carries what a driver said.
    pub message: String,
    /// Fields that are wrong, each with a sentence.
    pub violations: Vec<Violation>,
    /// Further facts for programs; no empty value, which would crash the gateway.
    pub metadata: Vec<(&'static str, String)>,
    /// When to try again, in milliseconds from now.
    pub retry_after_ms: Option<u32>,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as the request spells it.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub description: String,
}

impl Refusal {
    /// A refusal with its reason and sentence.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: Vec::new(),
            retry_after_ms: None,
        }
    }

    /// A refusal of one field.
    #[must_use]
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = Violation {
            field: field.into(),
            description: description.into(),
        };
        let message = format!("{}: {}", violation.field, violation.description);
        let mut refusal = Self::new(Reason::InvalidArgument, message);
        refusal.violations.push(violation);
        refusal
    }

    /// The refusal of a tenant that is absent, deleted or out of reach: one answer for all, so it says nothing of which.
    #[must_use]
    pub fn tenant_not_found() -> Self {
        Self::new(
            Reason::TenantNotFound,
            "There is no such tenant, or it is out of your credential's reach. Check the id or slug and the project.",
        )
    }

    /// The refusal for want of a permission.
    #[must_use]
    pub fn lacks(permission: crate::Permission) -> Self {
        Self::new(
            Reason::PermissionDenied,
            format!("This needs the permission {permission}. Ask someone who holds it, or use another credential."),
        )
        .with("permission", permission.name())
    }

    /// A fault of ours. What happened is logged where it is handled; the caller learns no more than what to quote: the
    /// gateway's id of the request, which stands in the log and on every answer.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            Reason::Internal,
            "Something went wrong on our side. Try again; if it stays, report it with the X-Request-Id of this answer.",
        )
    }

    /// The refusal while something that is needed doesn't answer.
    #[must_use]
    pub fn unavailable() -> Self {
        let mut refusal = Self::new(
            Reason::Unavailable,
            "Something this request needs doesn't answer just now. Try again, with the same request id.",
        );
        refusal.retry_after_ms = Some(1000);
        refusal
    }

    /// The refusal at a bound.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        let mut refusal = Self::new(Reason::Overloaded, message);
        refusal.retry_after_ms = Some(1000);
        refusal
    }

    /// Adds a fact for programs; an empty value is left out.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.metadata.push((key, value));
        }
        self
    }

    /// The kind, by its reason.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.reason.kind()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.word(), self.message)
    }
}

impl std::error::Error for Refusal {}

/// Collects what is wrong with a request's fields, so that the caller learns all of it at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a field is wrong.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Takes the value, or notes the sentence that says why there is none.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, impl Into<String>>) -> Option<T> {
        parsed.map_err(|why| self.add(field, why)).ok()
    }

    /// Takes what was refused elsewhere: beside other wrong fields its own are some more of them, alone it stays what it is.
    ///
    /// # Errors
    /// That refusal, where nothing was noted before; else as [`Self::check`].
    pub fn check_with(mut self, refused: Result<(), Refusal>) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return refused;
        }
        self.0.extend(
            refused
                .err()
                .into_iter()
                .flat_map(|refused| refused.violations),
        );
        self.check()
    }

    /// Refuses if anything was noted.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with every noted field.
    pub fn check(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = self
            .0
            .iter()
            .map(|v| format!("{}: {}", v.field, v.description))
            .collect::<Vec<_>>()
            .join("; ");
        let mut refusal = Refusal::new(Reason::InvalidArgument, message);
        refusal.violations = self.0;
        Err(refusal)
    }
}
